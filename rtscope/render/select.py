"""Which containers a listing shows, and in which order."""

from collections.abc import Callable, Iterable
from datetime import datetime

from rtscope.model.facts import fact
from rtscope.model.inventory import Container, Inventory
from rtscope.model.state import Engine, State, Verdict
from rtscope.render.columns import column, last_change
from rtscope.render.filters import Filter, matches
from rtscope.render.selector import resolve

_LIVE = frozenset({State.RUNNING, State.PAUSED, State.UNKNOWN})

_NARROWING_KEYS = frozenset({"engine", "nested", "user", "runtime", "pid", "id"})
"""Filters that say which origin is meant: with one of these, none is hidden."""


@fact
class Selection:
    """What the user asked to see.

    Attributes:
        narrowed: A configuration's engines: as `engines`, but no statement of the user's.
        is_all: Every state. is_every_origin: `--all-runtimes`.
        since: Only what started or ended after it.
        last: The newest N, whatever their state; None for no limit.
        own_uid: The reader's: its own rootless containers are not another user's.
        sort: A column's key, with `-` before it for the reverse; None is problems first.
    """

    is_all: bool = False
    is_every_origin: bool = False
    has_sandboxes: bool = False
    only_problems: bool = False
    filters: tuple[Filter, ...] = ()
    namespaces: tuple[str, ...] = ()
    pod_namespaces: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    since: datetime | None = None
    selectors: tuple[str, ...] = ()
    last: int | None = None
    own_uid: int = 0
    sort: str | None = None


def select(inventory: Inventory, selection: Selection) -> tuple[Container, ...]:
    """The containers of the listing, in its order.

    Raises:
        NotFoundError: a selector names nothing, or several.
        UsageError: the column to sort by does not exist.
    """
    pool: Iterable[Container] = inventory.containers
    if selection.selectors:
        pool = _named(inventory, selection.selectors)
    rules = _rules(selection)
    kept = [c for c in pool if all(rule(c) for rule in rules)]
    ordered = in_order(kept, selection.sort)
    return ordered if selection.last is None else _newest(ordered, selection.last)


def hidden_origins(inventory: Inventory, selection: Selection) -> int:
    """How many more rows `--all-runtimes` would show."""
    if _takes_every_origin(selection):
        return 0
    rules = _rules(selection)[1:]
    uncommon = (c for c in inventory.containers if not _is_shown_origin(c, selection.own_uid))
    return sum(1 for c in uncommon if all(rule(c) for rule in rules))


def _named(inventory: Inventory, selectors: Iterable[str]) -> list[Container]:
    found: dict[str, Container] = {}
    for selector in selectors:
        for container in resolve(inventory, selector):
            found[container.key] = container
    return list(found.values())


def _takes_every_origin(selection: Selection) -> bool:
    return bool(
        selection.is_every_origin
        or selection.selectors
        or selection.engines
        or selection.runtimes
        or selection.only_problems
        or any(f.key in _NARROWING_KEYS for f in selection.filters)
    )


def _takes_every_state(selection: Selection) -> bool:
    return bool(
        selection.is_all
        or selection.selectors
        or selection.only_problems
        or selection.since is not None
        or selection.last is not None
        or any(f.key in ("state", "exited") for f in selection.filters)
    )


def _is_shown_origin(container: Container, own_uid: int) -> bool:
    if container.nested_in is not None:
        return False
    if container.engine in (Engine.OCI, Engine.UNKNOWN):
        return False
    return container.uid in (None, 0, own_uid)


def _is_live(container: Container) -> bool:
    return (
        container.state in _LIVE
        or (container.state_raw or "").lower() == "restarting"
        or container.has_problem
    )


def _rules(selection: Selection) -> list[Callable[[Container], bool]]:
    """The origin's rule first, where there is one."""
    rules: list[Callable[[Container], bool]] = []
    if not _takes_every_origin(selection):
        rules.append(lambda c: _is_shown_origin(c, selection.own_uid))
    if not _takes_every_state(selection):
        rules.append(_is_live)
    if not selection.has_sandboxes and not selection.selectors:
        rules.append(lambda c: not c.is_sandbox)
    if selection.narrowed and not selection.is_every_origin:
        rules.append(lambda c: c.engine.value in selection.narrowed)
    if selection.only_problems:
        rules.append(lambda c: c.has_problem or c.verdict is Verdict.UNKNOWN)
    if selection.namespaces:
        rules.append(lambda c: (c.namespace or "") in selection.namespaces)
    if selection.pod_namespaces:
        rules.append(lambda c: c.pod is not None and c.pod.namespace in selection.pod_namespaces)
    filters = (
        *selection.filters,
        *(Filter(key="engine", value=engine) for engine in selection.engines),
        *(Filter(key="runtime", value=runtime) for runtime in selection.runtimes),
    )
    if filters:
        rules.append(lambda c: matches(c, filters))
    if selection.since is not None:
        rules.append(lambda c: _changed_after(c, selection.since))
    return rules


def _changed_after(container: Container, since: datetime | None) -> bool:
    if since is None:
        return True
    return any(
        at is not None and at >= since for at in (container.started_at, container.finished_at)
    )


def in_order(containers: Iterable[Container], sort: str | None = None) -> tuple[Container, ...]:
    """Problems first, then the newest change; or by a column.

    Raises:
        UsageError: that column does not exist.
    """
    by_change = sorted(containers, key=_by_problem_and_change)
    if sort is None:
        return tuple(by_change)
    by = column(sort.removeprefix("-"))
    known = [c for c in by_change if by.sort_value(c)[0] == 0]
    unknown = [c for c in by_change if by.sort_value(c)[0] != 0]
    known.sort(key=by.sort_value, reverse=sort.startswith("-"))
    return (*known, *unknown)


def _by_problem_and_change(container: Container) -> tuple[bool, float, str, str]:
    at = last_change(container)
    newest = 0.0 if at is None else -at.timestamp()
    return (not container.has_problem, newest, container.name or container.id, container.key)


def _newest(ordered: tuple[Container, ...], count: int) -> tuple[Container, ...]:
    by_age = sorted(ordered, key=_created, reverse=True)[: max(0, count)]
    keys = {c.key for c in by_age}
    return tuple(c for c in ordered if c.key in keys)


def _created(container: Container) -> float:
    at = container.created_at or last_change(container)
    return 0.0 if at is None else at.timestamp()
