"""The chain of one container as lines: what each layer claims, side by side, and the verdicts."""

from collections.abc import Iterator
from datetime import datetime

from rtscope.model.inventory import Claim, Container, Inventory, LayerView
from rtscope.model.state import Layer, Verdict
from rtscope.render.escape import visible
from rtscope.render.sources import container_sentence
from rtscope.render.units import age_text, instant_text
from rtscope.render.width import width as width_of
from rtscope.render.words import LETTER, state_style, state_text, verdict_style
from rtscope.tui.pieces import Piece, Pieces, fitted, wrapped

_HEADERS = ("LAYER", "VERDICT", "STATE", "PID", "EXIT", "SINCE")
_LEAST = (9, 12, 8, 7, 4, 5)
_SAYS = "WHO SAYS SO"
_GAP = 2
_FACT = 11

Line = tuple[str, Pieces]
"""Key and pieces; a key is unique in its tab and stable between two pictures."""


def chain_lines(
    inventory: Inventory, container: Container, width: int, now: datetime
) -> list[Line]:
    """Everything, at most `width` cells wide."""
    room = max(30, width - 1)
    lines: list[Line] = []
    sentence = container_sentence(inventory, container).partition(": ")[2]
    steps, _, _ = sentence.partition(
        f": {visible(container.problem)}" if container.problem else "\0"
    )
    for number, text in enumerate(wrapped(steps, room, "  ")):
        lines.append((f"steps {number}", [(text, "plain")]))
    if container.problem:
        for number, text in enumerate(wrapped(container.problem, room - 2)):
            sign = "! " if container.has_problem else "? "
            tone = verdict_style(container.verdict).value
            lines.append(
                (f"problem {number}", [(sign if number == 0 else "  ", tone), (text, tone)])
            )
    lines.append(("space 1", []))
    lines += _table(container, room, now)
    lines.append(("space 2", []))
    lines += _facts(container, room, now)
    return lines


def title_pieces(container: Container) -> list[Piece]:
    """Name, engine and state."""
    pieces: list[Piece] = [
        (container.name or container.id, "head"),
        (f"  {container.engine.value}", "accent"),
        (f"  {state_text(container)}", state_style(container).value),
    ]
    if container.is_sandbox:
        pieces.append(("  sandbox of its pod", "dim"))
    if container.stale_s is not None:
        pieces.append((f"  partly stale: {age_text(container.stale_s)} old", "warn"))
    return pieces


# ------------------------------------------------------------ the table
def _table(container: Container, room: int, now: datetime) -> Iterator[Line]:
    widths = _widths(container, now)
    says = room - sum(widths) - _GAP * len(widths)
    head = [fitted(h, w) + " " * _GAP for h, w in zip(_HEADERS, widths, strict=True)]
    yield "table", [("".join(head) + _SAYS, "head")]
    for layer in Layer:
        view = container.layers.get(layer)
        if view is None or (view.verdict is Verdict.NOT_EXPECTED and not view.claims):
            continue
        yield from _layer(layer, view, container, widths, says, now)
    silent = [
        layer.value
        for layer in Layer
        if layer not in container.layers
        or (
            container.layers[layer].verdict is Verdict.NOT_EXPECTED
            and not container.layers[layer].claims
        )
    ]
    if silent:
        for number, text in enumerate(wrapped(f"not expected here: {', '.join(silent)}", room)):
            yield f"not {number}", [(text, "dim")]


def _layer(
    layer: Layer, view: LayerView, container: Container, widths: list[int], says: int, now: datetime
) -> Iterator[Line]:
    tone = verdict_style(view.verdict).value
    word = view.verdict.value.replace("_", " ")
    sign = {Verdict.DIFFERS: "! ", Verdict.MISSING: "! ", Verdict.UNKNOWN: "? "}.get(
        view.verdict, ""
    )
    claims: tuple[Claim | None, ...] = view.claims or (None,)
    for number, claim in enumerate(claims):
        first = number == 0
        pieces: list[Piece] = [
            (fitted(f"{LETTER[layer]} {layer.value}" if first else "", widths[0]), "head"),
            ("  ", "plain"),
            (fitted(sign + word if first else "", widths[1]), tone),
            ("  ", "plain"),
        ]
        cells = ("-", "-", "-", "-") if claim is None else _cells(claim, now)
        is_off = _disagrees(claim, container) if view.verdict is Verdict.DIFFERS else (False,) * 4
        for cell, off, cells_wide in zip(cells, is_off, widths[2:], strict=True):
            text = f"{cell} ≠" if off else cell
            cell_tone = "problem" if off else ("dim" if cell == "-" else "plain")
            pieces += [(fitted(text, cells_wide), cell_tone), ("  ", "plain")]
        source = "nobody" if claim is None else claim.source
        pieces.append((fitted(source, max(4, says)).rstrip(), "dim"))
        yield f"layer {layer} {number}", pieces
    if view.why and view.why != container.problem:
        for number, text in enumerate(wrapped(view.why, max(20, sum(widths) + says - widths[0]))):
            yield f"why {layer} {number}", [(" " * (widths[0] + _GAP), "plain"), (text, tone)]


def _widths(container: Container, now: datetime) -> list[int]:
    widths = list(_LEAST)
    widths[0] = 11
    for view in container.layers.values():
        for claim in view.claims:
            for number, cell in enumerate(_cells(claim, now), 2):
                widths[number] = max(widths[number], min(20, width_of(visible(cell)) + 2))
    return widths


def _cells(claim: Claim, now: datetime) -> tuple[str, str, str, str]:
    state = "-" if claim.state is None else claim.state.value
    raw = (claim.state_raw or "").lower()
    if claim.state is not None and raw and claim.state.value not in raw and len(raw) > 1:
        state = f"{state} ({raw})"
    elif claim.state is None and raw:
        state = claim.state_raw or raw
    since = claim.finished_at or claim.started_at or claim.created_at
    return (
        state,
        "-" if claim.pid is None else str(claim.pid),
        "-" if claim.exit_code is None else str(claim.exit_code),
        "-" if since is None else age_text((now - since).total_seconds()),
    )


def _disagrees(claim: Claim | None, container: Container) -> tuple[bool, bool, bool, bool]:
    """Which of its cells are not what the row as a whole says."""
    if claim is None:
        return False, False, False, False
    return (
        claim.state is not None and claim.state != container.state,
        claim.pid is not None and claim.pid != container.pid,
        claim.exit_code is not None and claim.exit_code != container.exit_code,
        False,
    )


# ------------------------------------------------------------ facts
def _facts(container: Container, room: int, now: datetime) -> Iterator[Line]:
    pod = container.pod
    owner = "root" if not container.uid else f"uid {container.uid}"
    facts = (
        ("id", container.id),
        ("image", container.image_ref or container.image_id),
        ("command", container.command),
        ("pod", f"{pod.namespace}/{pod.name}" if pod is not None and pod.name else None),
        ("namespace", container.namespace),
        ("created", _instant(container.created_at, now)),
        ("started", _instant(container.started_at, now)),
        ("finished", _instant(container.finished_at, now)),
        ("exit", _exit(container)),
        ("restarts", None if container.restart_count is None else str(container.restart_count)),
        ("health", container.health),
        ("runtime", _runtime(container)),
        ("shim", None if container.shim_pid is None else f"pid {container.shim_pid}"),
        ("bundle", container.bundle_dir),
        ("cgroup", container.cgroup_path),
        ("log", container.log_path),
        ("store", f"{container.origin} ({owner})"),
        ("inside", container.nested_in),
    )
    for name, value in facts:
        if value:
            yield from _fact(name, value, room)
    for number, (key, value) in enumerate(sorted(container.labels.items())):
        yield from _fact("label" if number == 0 else "", f"{key}={value}", room, f"label {key}")


def _fact(name: str, value: str, room: int, key: str | None = None) -> Iterator[Line]:
    for number, text in enumerate(wrapped(value, room - _FACT)):
        head = fitted(name if number == 0 else "", _FACT)
        yield f"fact {key or name} {number}", [(head, "dim"), (text, "plain")]


def _instant(at: datetime | None, now: datetime) -> str | None:
    if at is None:
        return None
    age = age_text((now - at).total_seconds())
    return f"{instant_text(at, is_utc=True)} ({age} ago)"


def _exit(container: Container) -> str | None:
    if container.exit_code is None:
        return None
    words = [str(container.exit_code), container.exit_reason or ""]
    words.append("killed by the OOM killer" if container.oom_killed else "")
    return " ".join(word for word in words if word)


def _runtime(container: Container) -> str | None:
    words = [container.oci_runtime, container.runtime_type]
    return ", ".join(word for word in words if word) or None
