"""The strip at the top: node, mode, counts, load, and every engine with its health."""

from collections.abc import Iterator, Sequence

from rtscope.model.state import EndpointState
from rtscope.render.units import age_text
from rtscope.render.words import endpoint_style
from rtscope.tui.picture import Counts, Picture
from rtscope.tui.pieces import Piece, Pieces, ends, joined, length, within
from rtscope.tui.slots import SourceView

_NAMES = {
    "docker": "dockerd",
    "dockerfs": "docker files",
    "podmanfs": "podman files",
    "oci": "oci",
    "shim": "shims",
}
_DAEMONS = ("docker", "containerd", "cri", "podman")
_QUIET = frozenset({EndpointState.ABSENT, EndpointState.INACTIVE})
_RANK = {"problem": 0, "warn": 1, "ok": 2, "plain": 2, "dim": 3}
_STALE_S = 10.0
_ADDRESS_CELLS = 24


def header_lines(picture: Picture, width: int) -> Sequence[Pieces]:
    """Two lines."""
    first = [(" ", "plain"), *ends(list(_node(picture)), list(_load(picture)), width - 2)]
    return (first, [(" ", "plain"), *_strip(picture, width - 2)])


def _node(picture: Picture) -> Iterator[Piece]:
    inventory = picture.inventory
    yield (inventory.node.hostname if inventory is not None else "this node", "head")
    yield "  ", "plain"
    tone = {"live": "ok", "paused": "warn"}.get(picture.mode.split(" ")[0], "accent")
    yield picture.mode, tone
    if picture.is_read_only:
        yield " read-only", "accent"
    if inventory is None:
        yield "  looking at the node", "dim"
        return
    counts = picture.counts
    yield f"  {counts.running} running", "plain"
    yield f" of {counts.containers}", "dim"
    if counts.problems:
        yield f"  {counts.problems} problem{'' if counts.problems == 1 else 's'}", "problem"
    else:
        yield "  no problem", "ok"


def _load(picture: Picture) -> Iterator[Piece]:
    before, now = picture.gauges
    if now is not None:
        cpu = now.cpu_percent(before)
        if cpu is not None:
            yield f"cpu {cpu:.0f}%", "warn" if cpu > 90 else "dim"
        if now.memory_percent is not None:
            tone = "warn" if now.memory_percent > 90 else "dim"
            yield f" mem {now.memory_percent:.0f}%", tone
        if now.pressure_percent is not None:
            tone = "warn" if now.pressure_percent > 20 else "dim"
            yield f" psi {now.pressure_percent:.0f}%", tone
    if picture.is_recorded and picture.inventory is not None:
        yield f"  taken {picture.at:%Y-%m-%d %H:%MZ}", "warn"
    elif picture.age_s is not None:
        is_old = picture.age_s > _STALE_S
        yield f"  data {age_text(picture.age_s)} old", "warn" if is_old else "dim"


def _strip(picture: Picture, width: int) -> list[Piece]:
    """What is sick first; the latencies of healthy daemons only where there is room."""
    full = sorted(_health(picture, has_times=True), key=_rank)
    if length(joined(full)) <= width:
        return joined(full)
    return within(sorted(_health(picture, has_times=False), key=_rank), width)


def _rank(group: Pieces) -> int:
    return min(_RANK.get(tone, 2) for _, tone in group[1:]) if len(group) > 1 else 3


def _health(picture: Picture, *, has_times: bool) -> Iterator[Pieces]:
    """Daemons, then shims and state directories."""
    views = list(picture.sources)
    if picture.is_recorded and picture.inventory is not None:
        views = [SourceView(endpoint=endpoint) for endpoint in picture.inventory.endpoints]
    shown = [view for view in views if view.endpoint.state not in _QUIET or view.waiting_s]
    daemons = [view for view in shown if view.endpoint.kind in _DAEMONS]
    for kind in dict.fromkeys(view.endpoint.kind for view in daemons):
        same = [view for view in daemons if view.endpoint.kind == kind]
        good = [view for view in same if _is_well(view)]
        if len(good) > 1:
            yield [(f"{len(good)} {_NAMES.get(kind, kind)} ", "plain"), ("ok", "ok")]
        for view in same:
            if view not in good or len(good) == 1:
                yield _daemon(view, has_times=has_times, has_address=len(same) > 1)
    if picture.counts.shims:
        yield _shims(picture.counts)
    rest = [v for v in shown if v.endpoint.kind not in (*_DAEMONS, "shim")]
    for kind in dict.fromkeys(view.endpoint.kind for view in rest):
        yield _several(kind, [view for view in rest if view.endpoint.kind == kind])
    if not views:
        yield [("sources are looked for", "dim")]


def _short(address: str) -> str:
    """The end of a long path: that is where two of a kind differ."""
    return address if len(address) <= _ADDRESS_CELLS else "…" + address[1 - _ADDRESS_CELLS :]


def _is_well(view: SourceView) -> bool:
    return view.waiting_s is None and view.endpoint.state is EndpointState.OK


def _daemon(view: SourceView, *, has_times: bool, has_address: bool) -> list[Piece]:
    endpoint = view.endpoint
    name = _NAMES.get(endpoint.kind, endpoint.kind)
    tone = endpoint_style(endpoint.state).value
    if view.waiting_s is not None and endpoint.skip is None:
        return [(f"{name} ", "plain"), (view.word, "warn")]
    if view.word == "asking":
        return [(f"{name} ", "plain"), ("…", "dim")]
    pieces: list[Piece] = [(f"{name} ", "plain"), (view.word, tone)]
    if endpoint.first_answer_ms is not None and (tone == "warn" or (tone == "ok" and has_times)):
        pieces.append((f" {endpoint.first_answer_ms:.0f} ms", "dim"))
    if view.age_s is not None and tone == "problem":
        pieces.append((f" for {age_text(view.age_s)}", "dim"))
    if has_address and tone == "problem":
        pieces.append((f" {_short(endpoint.address)}", "dim"))
    return pieces


def _shims(counts: Counts) -> Pieces:
    pieces: list[Piece] = [(f"{counts.shims} shims ", "plain")]
    if counts.silent_shims:
        verb = "does" if counts.silent_shims == 1 else "do"
        pieces.append((f"{counts.silent_shims} {verb} not answer", "problem"))
    else:
        pieces.append(("ok", "ok"))
    return pieces


def _several(kind: str, views: list[SourceView]) -> Pieces:
    words: dict[str, tuple[int, str]] = {}
    for view in views:
        state = view.endpoint.state
        word = view.word if view.waiting_s is not None else state.value
        tone = "warn" if view.waiting_s is not None else endpoint_style(state).value
        words[word] = (words.get(word, (0, ""))[0] + 1, tone)
    name = _NAMES.get(kind, kind)
    if len(words) == 1:
        word, (count, tone) = next(iter(words.items()))
        return [(f"{name} " if count == 1 else f"{count} {name} ", "plain"), (word, tone)]
    pieces: list[Piece] = [(f"{name} ", "plain")]
    for word, (count, tone) in words.items():
        pieces.append((f"{count} {word} ", tone))
    return pieces
