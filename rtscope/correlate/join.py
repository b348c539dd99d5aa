"""Many observations, one inventory. Pure: no clock, no I/O."""

from collections.abc import Iterable, Mapping, Sequence

from rtscope.correlate.asked import Answers
from rtscope.correlate.groups import Group, group
from rtscope.correlate.kernel import Kernel
from rtscope.correlate.rows import Row, Sandboxes
from rtscope.correlate.verdicts import settled_before, views_of
from rtscope.model.facts import replace
from rtscope.model.inventory import Container, Inventory
from rtscope.model.observation import Gap, Observation
from rtscope.model.records import Daemon
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import Engine

_KEPT = ("name", "image_ref", "image_id", "command", "labels", "pod", "created_at", "restart_count")


def join(observations: Sequence[Observation], previous: Inventory | None = None) -> Inventory:
    """One `Container` per real container, with verdicts.

    Args:
        observations: At least one; the order does not matter.
        previous: Keeps keys stable, and fills in what a source said that is silent now.
    """
    ordered = sorted(observations, key=lambda o: (o.kind, o.source))
    kernel = Kernel(ordered)
    answers = Answers(ordered, kernel.why_unread)
    groups = group(ordered, kernel.processes)
    node = ordered[0].node
    pods = Sandboxes(groups)
    rows = [Row(one, kernel, node, pods) for one in groups]
    explained = [key for row in rows for key in row.processes]
    rows += [Row(Group(()), kernel, node, pods, s) for s in kernel.without_record(explained)]
    settled_at = settled_before(ordered)
    keys = _Keys(previous)
    containers = []
    for row in rows:
        ref, _ = row.primary()
        key = keys.key_of(ref, row.refs)
        containers.append(row.build(key, views_of(row, answers, settled_at)))
    if previous is not None:
        containers = _filled(containers, previous, max(o.taken_boottime_ns for o in ordered))
    return Inventory(
        node=node,
        taken_at=max(o.taken_at for o in ordered),
        taken_boottime_ns=max(o.taken_boottime_ns for o in ordered),
        containers=tuple(sorted(containers, key=lambda c: c.key)),
        sandboxes=tuple(s for o in ordered for s in o.sandboxes),
        daemons=tuple(_daemons(ordered)),
        shims=tuple(kernel.shims.values()),
        kubelet_pods=tuple(p for o in ordered for p in o.kubelet_pods),
        processes=kernel.processes,
        endpoints=tuple(o.endpoint for o in ordered if o.kind != "procfs"),
        gaps=_unique(gap for o in ordered for gap in o.gaps),
    )


def _daemons(ordered: Sequence[Observation]) -> Iterable[Daemon]:
    """Each daemon once: a backend that reads it knows more than /proc."""
    found: dict[ProcessKey, Daemon] = {}
    for observation in sorted(ordered, key=lambda o: o.kind != "procfs"):
        for daemon in observation.daemons:
            found[daemon.key] = daemon
    return found.values()


def _unique(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    return tuple(dict.fromkeys(gaps))


class _Keys:
    """Keys of containers: given at first sight, kept while any of the records is the same."""

    def __init__(self, previous: Inventory | None) -> None:
        self._known: dict[Ref, str] = {}
        self._used: set[str] = set()
        for container in previous.containers if previous is not None else ():
            for ref in container.refs:
                self._known[ref] = container.key

    def key_of(self, ref: Ref, refs: Sequence[Ref]) -> str:
        """The old key of any of its records, else one made of the row's own ref."""
        for one in (ref, *refs):
            key = self._known.get(one)
            if key is not None and key not in self._used:
                self._used.add(key)
                return key
        key = f"{ref.origin}|{ref.namespace}|{ref.id}"
        while key in self._used:
            key += "'"
        self._used.add(key)
        return key


def _filled(containers: Sequence[Container], previous: Inventory, now_ns: int) -> list[Container]:
    """What a source said that is silent now, marked with its age."""
    before: Mapping[str, Container] = {c.key: c for c in previous.containers}
    found = []
    for container in containers:
        old = before.get(container.key)
        if old is None or not _has_lost_its_engine(container, old):
            found.append(container)
            continue
        kept = {
            name: getattr(old, name)
            for name in _KEPT
            if not getattr(container, name) or (name == "name" and container.name == container.id)
        }
        age_s = (now_ns - previous.taken_boottime_ns) / 1e9 + (old.stale_s or 0.0)
        engine = old.engine if container.engine is Engine.UNKNOWN else container.engine
        found.append(replace(container, **kept, engine=engine, stale_s=round(age_s, 3)))
    return found


def _has_lost_its_engine(container: Container, old: Container) -> bool:
    return bool(set(old.refs) - set(container.refs)) and container.problem is not None
