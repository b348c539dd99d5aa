"""Many observations, one inventory. Pure: no clock, no I/O."""

from collections.abc import Iterable, Mapping, Sequence

from rtscope.correlate.asked import Answers, sentence
from rtscope.correlate.groups import Group, group
from rtscope.correlate.kernel import Kernel
from rtscope.correlate.pods import Pods
from rtscope.correlate.rows import Row
from rtscope.correlate.verdicts import settled_before, views_of
from rtscope.model.facts import replace
from rtscope.model.inventory import Container, Inventory, LayerView
from rtscope.model.observation import Gap, Observation
from rtscope.model.records import Daemon
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import ANSWERED, EndpointState, Engine, Layer, Verdict

_KEPT = ("name", "image_ref", "image_id", "command", "labels", "pod", "created_at", "restart_count")
_GUESSED = frozenset({Engine.UNKNOWN, Engine.CONTAINERD, Engine.OCI})
_DESCRIBING = (Layer.ENGINE, Layer.CONTAINER, Layer.SANDBOX)
_TELLING = frozenset({"docker", "podman", "cri", "containerd"})
_STORED = frozenset({"dockerfs", "podmanfs"})
_FELL_SILENT = frozenset(EndpointState) - ANSWERED - {EndpointState.ABSENT}


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
    pods = Pods(groups, [(o.source, pod) for o in ordered for pod in o.kubelet_pods])
    rows = [Row(one, kernel, node, pods) for one in groups]
    explained = [key for row in rows for key in row.processes]
    rows += [Row(Group(()), kernel, node, pods, s) for s in kernel.without_record(explained)]
    settled_at = settled_before(ordered)
    keys = _Keys(previous)
    containers = []
    for row in rows:
        ref, _ = row.primary()
        init = row.init.key if row.init is not None and not row.is_sandboxed else None
        key = keys.key_of(ref, row.refs, init)
        containers.append(row.build(key, views_of(row, answers, settled_at)))
    if previous is not None:
        containers = _filled(containers, previous, max(o.taken_boottime_ns for o in ordered))
        containers += _remembered(previous, containers, ordered)
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
        self._by_init: dict[ProcessKey, str] = {}
        self._used: set[str] = set()
        for container in previous.containers if previous is not None else ():
            for ref in container.refs:
                self._known[ref] = container.key
            if container.pid is not None and container.pid_start is not None:
                init = ProcessKey(pid=container.pid, start=container.pid_start)
                self._by_init[init] = container.key

    def key_of(self, ref: Ref, refs: Sequence[Ref], init: ProcessKey | None) -> str:
        """The old key of any of its records or of its init, else one made of the row's own ref."""
        old = [self._known.get(one) for one in (ref, *refs)]
        if init is not None and not refs:
            old.append(self._by_init.get(init))
        for key in old:
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
    passed_s = (now_ns - previous.taken_boottime_ns) / 1e9
    found = []
    for container in containers:
        old = before.get(container.key)
        if old is None or not _is_unanswered(container):
            found.append(container)
            continue
        kept = {
            name: getattr(old, name)
            for name in _KEPT
            if getattr(old, name)
            and (
                not getattr(container, name) or (name == "name" and container.name == container.id)
            )
        }
        if old.engine is not container.engine and container.engine in _GUESSED:
            kept["engine"] = old.engine
        if kept:
            kept["stale_s"] = round(passed_s + (old.stale_s or 0.0), 3)
        refs = tuple(dict.fromkeys((*container.refs, *old.refs)))
        found.append(replace(container, **kept, refs=refs))
    return found


def _is_unanswered(container: Container) -> bool:
    """Whether somebody who described it before could not be asked now."""
    views = (container.layers.get(layer) for layer in _DESCRIBING)
    return any(view is not None and view.verdict is Verdict.UNKNOWN for view in views)


def _remembered(
    previous: Inventory, containers: Sequence[Container], ordered: Sequence[Observation]
) -> Iterable[Container]:
    """Rows that only a source knew which does not answer now, as it last told of them."""
    now_ns = max(o.taken_boottime_ns for o in ordered)
    passed_s = (now_ns - previous.taken_boottime_ns) / 1e9
    quiet = {
        place: sentence(endpoint)
        for endpoint in (o.endpoint for o in ordered if o.endpoint.state in _FELL_SILENT)
        for place in (endpoint.address, endpoint.origin)
        if endpoint.kind in _TELLING and place is not None
    }
    present = {container.key for container in containers}
    stored = {
        endpoint.origin
        for endpoint in (o.endpoint for o in ordered)
        if endpoint.kind in _STORED and endpoint.state in ANSWERED
    }
    for old in previous.containers:
        why = quiet.get(old.endpoint or "") or quiet.get(old.origin)
        if old.key in present or why is None or old.pid is not None or old.origin in stored:
            continue
        views = {
            layer: LayerView(verdict=Verdict.UNKNOWN, claims=view.claims, why=why)
            if view.claims
            else view
            for layer, view in old.layers.items()
        }
        age_s = round(passed_s + (old.stale_s or 0.0), 3)
        yield replace(
            old, layers=views, verdict=Verdict.UNKNOWN, problem=why, stale_s=age_s, processes=()
        )
