"""Lines in pieces: text with a meaning, painted and made harmless in one place."""

from collections.abc import Iterable, Mapping, Sequence

from rich.segment import Segment
from rich.style import Style as Paint
from textual.strip import Strip

from rtscope.render.escape import visible
from rtscope.render.width import cut, pad, width

Piece = tuple[str, str]
"""Text of any origin, and its meaning: a `render.style.Style` or one of `themes.paints_of`."""

Pieces = Sequence[Piece]


def strip_of(pieces: Iterable[Piece], paints: Mapping[str, Paint]) -> Strip:
    """The pieces as one painted line, as long as they are."""
    segments = []
    cells = 0
    for text, tone in pieces:
        shown = visible(text)
        if shown:
            segments.append(Segment(shown, paints.get(tone)))
            cells += width(shown)
    return Strip(segments, cells)


def length(pieces: Iterable[Piece]) -> int:
    """Cells that they take."""
    return sum(width(visible(text)) for text, _ in pieces)


def fitted(text: str, cells: int, *, is_right: bool = False) -> str:
    """The text in exactly so many cells."""
    return pad(cut(visible(text), cells), cells, is_right=is_right)


def ends(left: Pieces, right: Pieces, cells: int) -> list[Piece]:
    """One line with pieces at both ends; where both do not fit, the right ones go first."""
    room = cells - length(left)
    kept = list(right)
    while kept and length(kept) + 1 > room:
        kept.pop(0)
    fill = max(1, room - length(kept))
    return [*left, (" " * fill, "plain"), *kept]


def joined(groups: Iterable[Pieces], gap: str = "  ") -> list[Piece]:
    """Groups of pieces side by side."""
    found: list[Piece] = []
    for group in groups:
        if found and group:
            found.append((gap, "plain"))
        found.extend(group)
    return found


def within(groups: Sequence[Pieces], cells: int, gap: str = "  ") -> list[Piece]:
    """As many groups as fit, from the first; an ellipsis stands for the rest."""
    kept: list[Pieces] = []
    used = 0
    for number, group in enumerate(groups):
        more = length(group) + (len(gap) if kept else 0)
        reserve = len(gap) + 1 if number < len(groups) - 1 else 0
        if used + more + reserve > cells:
            return joined([*kept, [("…", "dim")]], gap)
        kept.append(group)
        used += more
    return joined(kept, gap)


def wrapped(text: str, cells: int, indent: str = "") -> list[str]:
    """Words in lines of at most so many cells; what is longer than a line is broken."""
    lines: list[str] = []
    line = ""
    for word in visible(text).split(" "):
        candidate = f"{line} {word}" if line else word
        if width(candidate) <= cells:
            line = candidate
            continue
        if line:
            lines.append(line)
        line = indent + word
        while width(line) > cells > len(indent):
            head = cut(line, cells, "")
            lines.append(head)
            line = indent + line[len(head) :]
    return [*lines, line] if line or not lines else lines
