"""The one table: cells in, aligned lines out. Lines are never wrapped."""

from collections.abc import Sequence

from rtscope.model.facts import fact
from rtscope.render.escape import visible
from rtscope.render.style import Style, paint
from rtscope.render.width import cut, pad, width

GAP = 2


@fact
class Shape:
    """How one column of a table is laid out.

    Attributes:
        priority: 0 stays to the last; the highest number is dropped first on a narrow terminal.
        min_width: It is not made narrower than this before another column is dropped.
        max_width: A cell is cut beyond this on a terminal; None for no limit.
    """

    header: str
    priority: int = 0
    is_right: bool = False
    min_width: int = 4
    max_width: int | None = None


@fact
class Cell:
    """One cell: foreign text is made harmless by the table itself."""

    text: str
    style: Style = Style.PLAIN


@fact
class Paper:
    """What a table or a tree is drawn on.

    Attributes:
        columns: Cells of a terminal's line; None for a pipe or a file, which gets everything.
        is_unicode: Whether it can show more than ASCII.
        is_full: `--no-trunc`: nothing is cut, whatever the terminal does with it.
    """

    columns: int | None = None
    is_colour: bool = False
    is_unicode: bool = True
    is_full: bool = False

    @property
    def ellipsis(self) -> str:
        """What stands for text that was left out."""
        return "…" if self.is_unicode else "..."


def table(shapes: Sequence[Shape], rows: Sequence[Sequence[Cell]], paper: Paper) -> list[str]:
    """The lines of a table, header first."""
    texts = [[visible(cell.text) or "-" for cell in row] for row in rows]
    limit = None if paper.is_full else paper.columns
    widths = [_natural(shape, [t[i] for t in texts], limit) for i, shape in enumerate(shapes)]
    shown = fit(shapes, widths, limit)
    head = [Cell(text=shape.header, style=Style.HEAD) for shape in shapes]
    lines = [_line(shapes, head, [c.text for c in head], shown, paper)]
    lines += [_line(shapes, row, text, shown, paper) for row, text in zip(rows, texts, strict=True)]
    return lines


def _natural(shape: Shape, texts: Sequence[str], limit: int | None) -> int:
    longest = max([width(shape.header), *map(width, texts)])
    if limit is None or shape.max_width is None:
        return longest
    return min(longest, max(shape.max_width, width(shape.header)))


def fit(shapes: Sequence[Shape], widths: list[int], limit: int | None) -> dict[int, int]:
    """Index -> width of the columns that are shown, in order."""
    shown = dict(enumerate(widths))
    if limit is None:
        return shown
    while len(shown) > 1 and _total(shown, shapes) > limit:
        worst = max(shown, key=lambda i: (shapes[i].priority, i))
        if shapes[worst].priority == 0:
            break
        del shown[worst]
    excess = sum(shown.values()) + GAP * (len(shown) - 1) - limit
    while excess > 0:
        widest = max(shown, key=lambda i: shown[i] - min(shown[i], shapes[i].min_width))
        if shown[widest] <= shapes[widest].min_width:
            break
        shown[widest] -= 1
        excess -= 1
    return shown


def _total(shown: dict[int, int], shapes: Sequence[Shape]) -> int:
    """The least room that these columns need."""
    needed = sum(min(w, max(shapes[i].min_width, 1)) for i, w in shown.items())
    return needed + GAP * (len(shown) - 1)


def _line(
    shapes: Sequence[Shape],
    cells: Sequence[Cell],
    texts: Sequence[str],
    shown: dict[int, int],
    paper: Paper,
) -> str:
    parts: list[str] = []
    left = None if paper.is_full else paper.columns
    last = next(reversed(shown))
    for index, room in shown.items():
        text = cut(texts[index], room, paper.ellipsis)
        if index != last or shapes[index].is_right:
            text = pad(text, room, is_right=shapes[index].is_right)
        if left is not None:
            text = cut(text, max(left, 0), "")
            left -= room + GAP
        parts.append(paint(text, cells[index].style, paper.is_colour))
    return (" " * GAP).join(parts).rstrip()
