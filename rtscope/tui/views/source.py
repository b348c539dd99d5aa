"""One source in full: how it was found, what it was asked, what it did not answer."""

from collections.abc import Iterator

from rtscope.model.inventory import Inventory
from rtscope.render.escape import visible
from rtscope.render.notes import gap_notes
from rtscope.render.units import age_text, ms_text
from rtscope.render.words import endpoint_style
from rtscope.tui.pieces import fitted, wrapped
from rtscope.tui.slots import SourceView
from rtscope.tui.views.chain import Line

_FACT = 12


def source_lines(inventory: Inventory | None, view: SourceView, width: int) -> list[Line]:
    """Everything, at most `width` cells wide."""
    endpoint = view.endpoint
    room = max(30, width - 1)
    tone = endpoint_style(endpoint.state).value
    lines: list[Line] = [
        ("name", [(endpoint.source, "head"), (f"  {view.word}", tone)]),
        ("space 1", []),
    ]
    holder = None
    if endpoint.daemon is not None:
        letter = f", state {endpoint.holder_state}" if endpoint.holder_state else ""
        holder = f"pid {endpoint.daemon.pid}{letter}"
    facts = (
        ("found by", ", ".join(endpoint.found_by)),
        ("why", endpoint.skip_detail),
        ("version", endpoint.version),
        ("holder", holder),
        ("waits in", endpoint.wchan),
        ("store", endpoint.origin),
        ("namespace", endpoint.namespace),
        ("sits on", endpoint.below),
        ("owner", None if endpoint.owner_uid is None else f"uid {endpoint.owner_uid}"),
        ("connect", _ms(endpoint.connect_ms)),
        ("answer", _ms(endpoint.first_answer_ms)),
        ("queue", _queue(endpoint.queue)),
        ("answered", None if view.age_s is None else f"{age_text(view.age_s)} ago"),
        ("asked again", _next(view)),
        ("asked for", ", ".join(endpoint.asked)),
    )
    for name, value in facts:
        if value:
            lines.extend(_fact(name, value, room))
    gaps = [] if inventory is None else [g for g in inventory.gaps if g.source == endpoint.source]
    lines.append(("space 2", []))
    if gaps:
        lines.append(("gaps", [(f"What it could not say ({len(gaps)})", "head")]))
        for number, note in enumerate(gap_notes(gaps, is_verbose=True)):
            text = note.removeprefix(f"{visible(endpoint.source)}: ")
            for part, line in enumerate(wrapped(text, room - 2, "  ")):
                lines.append((f"gap {number} {part}", [("  ", "plain"), (line, "warn")]))
    else:
        lines.append(("gaps", [("It said everything that it was asked for.", "dim")]))
    return lines


def _fact(name: str, value: str, room: int) -> Iterator[Line]:
    for number, text in enumerate(wrapped(value, room - _FACT)):
        head = fitted(name if number == 0 else "", _FACT)
        yield f"{name} {number}", [(head, "dim"), (text, "plain")]


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{ms_text(value)} ms"


def _queue(queue: int | None) -> str | None:
    if queue is None:
        return None
    return "nobody waits" if queue == 0 else f"{queue} connections wait to be accepted"


def _next(view: SourceView) -> str | None:
    if view.endpoint.skip is not None:
        return "not while it is like this"
    if view.endpoint.kind == "shim":
        return "when a container changes, never by a timer"
    return None if view.next_s is None else f"in {view.next_s:.0f} s"
