"""What a listing says beside its rows: which sources did not answer, and where it looked."""

from collections.abc import Iterable, Mapping

from rtscope.model.inventory import Inventory
from rtscope.model.observation import Endpoint, Gap
from rtscope.model.state import ANSWERED, EndpointState, Reason
from rtscope.render.escape import visible
from rtscope.render.ids import SHORT_ID, is_hex_id
from rtscope.render.words import listed

QUIET_REASONS = frozenset({Reason.ABSENT, Reason.VANISHED})
"""Nothing is there, or it went away while being read: no source failed."""

INCOMPLETE_REASONS = frozenset(Reason) - QUIET_REASONS - {Reason.INACTIVE}
"""Reasons for which a listing may lack something that exists (`--strict`)."""

_FAILED = frozenset(EndpointState) - ANSWERED - {EndpointState.ABSENT, EndpointState.INACTIVE}
_MAX_DETAIL = 240
ALIKE_SHOWN = 3
"""Sources of one kind with the same complaint that get a line each."""


def gap_notes(gaps: Iterable[Gap], *, is_verbose: bool = False) -> list[str]:
    """One line for each (source, reason, what is missing), however many subjects it has."""
    groups: dict[tuple[str, Reason, str], list[Gap]] = {}
    for gap in gaps:
        if is_verbose or gap.reason not in QUIET_REASONS:
            detail = gap.detail if gap.subject == "daemon" else gap.missing
            groups.setdefault((gap.source, gap.reason, detail), []).append(gap)
    return _lines(list(groups.values()))


def _lines(groups: list[list[Gap]]) -> list[str]:
    """A line a group; many sources of one kind with the same complaint share one line."""
    alike: dict[tuple[str, Reason, str], list[list[Gap]]] = {}
    for group in groups:
        first = group[0]
        kind = first.source.partition("://")[0]
        subject = "daemon" if first.subject == "daemon" else first.source
        alike.setdefault((kind, first.reason, f"{subject} {first.missing}"), []).append(group)
    lines: list[str] = []
    for (kind, reason, _), members in alike.items():
        if len(members) <= ALIKE_SHOWN:
            lines += [_note(group) for group in members]
            continue
        places = listed(visible(group[0].source.partition("://")[2]) for group in members)
        first = members[0][0]
        why = f"; first: {visible(first.detail)[:_MAX_DETAIL]}" if first.detail else ""
        lines.append(
            f"{visible(kind)}: {len(members)} sources {reason.value}: {places}"
            f" (not known: {visible(first.missing)}){why}"
        )
    return lines


def _note(group: list[Gap]) -> str:
    first = group[0]
    missing = ", ".join(dict.fromkeys(visible(gap.missing) for gap in group))
    subjects = list(dict.fromkeys(_subject(gap) for gap in group if gap.subject != "daemon"))
    source = visible(first.source)
    detail = visible(first.detail)[:_MAX_DETAIL]
    if not subjects:
        why = f": {detail}" if detail else ""
        return f"{source}: {first.reason.value}{why} (not known: {missing})"
    if len(subjects) == 1:
        why = f": {detail}" if detail else ""
        return f"{source}: {subjects[0]} {first.reason.value}{why} (not known: {missing})"
    why = f"; first: {detail}" if detail else ""
    return (
        f"{source}: {len(subjects)} {first.reason.value}: {listed(subjects)}"
        f" (not known: {missing}){why}"
    )


def _subject(gap: Gap) -> str:
    head, slash, tail = gap.subject.rpartition("/")
    short = tail[:SHORT_ID] if is_hex_id(tail) else tail
    return visible(head + slash + short)


def silent_endpoints(inventory: Inventory) -> list[str]:
    """A line for each endpoint that did not answer and that no gap speaks of."""
    spoken = {gap.source for gap in inventory.gaps if gap.reason not in QUIET_REASONS}
    return [
        f"{visible(e.source)}: {e.state.value}" + _why(e)
        for e in inventory.endpoints
        if e.source not in spoken and _is_worth_a_line(e)
    ]


def _is_worth_a_line(endpoint: Endpoint) -> bool:
    if endpoint.is_named:
        return endpoint.state not in ANSWERED
    return endpoint.state in _FAILED - {EndpointState.UNKNOWN}


def _why(endpoint: Endpoint) -> str:
    return f": {visible(endpoint.skip_detail)}" if endpoint.skip_detail else ""


def where_it_looked(inventory: Inventory) -> str:
    """For an empty listing: every place, with how it stood."""
    by_state: dict[str, list[str]] = {}
    for endpoint in inventory.endpoints:
        by_state.setdefault(endpoint.state.value, []).append(visible(endpoint.source))
    if not by_state:
        return "looked at /proc only: no runtime's daemon, socket or state directory is here"
    places = "; ".join(f"{state}: {', '.join(found)}" for state, found in by_state.items())
    return f"looked at {places}"


def recording_note(inventory: Inventory, place: str) -> str | None:
    """What a recording has to say of itself; None for the live node."""
    if inventory.recorded_at is None:
        return None
    at = inventory.recorded_at.strftime("%Y-%m-%d %H:%M:%SZ")
    name = "the demo node that ships with rtscope" if inventory.is_demo else visible(place)
    return f"RECORDING, not this node: {name}, node {visible(inventory.node.hostname)}, taken {at}"


def is_incomplete(inventory: Inventory) -> bool:
    """Whether something that exists may be missing here."""
    return any(gap.reason in INCOMPLETE_REASONS for gap in inventory.gaps) or any(
        endpoint.state in _FAILED for endpoint in inventory.endpoints
    )


def failed(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """By source, the endpoints of these that gave nothing."""
    return {e.source: e for e in endpoints if e.state not in ANSWERED}
