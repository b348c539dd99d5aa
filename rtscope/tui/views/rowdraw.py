"""How a container's row is drawn: the columns of `ps`, with widths that do not jitter."""

from collections.abc import Callable, Iterable, Sequence

from rtscope.model.facts import replace
from rtscope.model.inventory import Container
from rtscope.model.state import Layer, Verdict
from rtscope.render.column import Column, Context
from rtscope.render.escape import visible
from rtscope.render.text import GAP, Shape, fit
from rtscope.render.units import age_text
from rtscope.render.width import width
from rtscope.render.words import layer_sign, layer_words, verdict_style
from rtscope.tui.keeper import Shown
from rtscope.tui.pieces import Piece, Pieces, fitted

_LAYERS_CELLS = 27
"""Room for the nine signs and for what is wrong with one layer: `container missing`."""

_LEAST = {"state": 10, "engine": 10, "name": 12, "layers": _LAYERS_CELLS}
_PRIORITY = {"engine": 3, "id": 4, "pid": 5, "restarts": 8}
"""On a screen the words of LAYERS stay, narrow as it may be; ids go first."""

MARGIN = 2
"""Cells before the first column: the mark and the sign of a problem."""


class Drawing:
    """Column widths for one set of rows on one width of screen.

    Widths only grow while the same columns are shown: a number that gains a digit moves the columns
    once, not back and forth.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.natural = [_first_width(column) for column in columns]
        self.placed: dict[int, int] = {}
        self._room = 0

    def widen(self, widths: Sequence[int]) -> None:
        """To these widths, where they are larger."""
        self.natural = [max(pair) for pair in zip(self.natural, widths, strict=True)]
        self.place(self._room)

    def place(self, room: int) -> None:
        """Which columns fit into this width, and how wide each one is."""
        self._room = room
        if room <= MARGIN:
            return
        shapes = [_shape(column) for column in self.columns]
        self.placed = fit(shapes, list(self.natural), room - MARGIN)
        spare = room - MARGIN - sum(self.placed.values()) - GAP * (len(self.placed) - 1)
        for number, column in enumerate(self.columns):
            if column.key == "layers" and number in self.placed and spare > 0:
                self.placed[number] += spare

    def header(self, sort: str | None) -> list[Piece]:
        """The line of headers, the sorted one marked; one piece a column after the margin."""
        pieces: list[Piece] = [(" " * MARGIN, "head")]
        for number, cells in self.placed.items():
            column = self.columns[number]
            is_sorted = sort is not None and sort.removeprefix("-") == column.key
            sign = "" if not is_sorted else ("↑" if not sort.startswith("-") else "↓")  # type: ignore[union-attr]  # is_sorted says so
            text = fitted(column.header + sign, cells, is_right=column.is_right)
            pieces.append((text + " " * GAP, "accent" if is_sorted else "head"))
        return pieces

    def column_at(self, piece: int) -> Column | None:
        """The column of a piece of the header."""
        numbers = list(self.placed)
        return self.columns[numbers[piece - 1]] if 0 < piece <= len(numbers) else None

    def row(self, shown: Shown, context: Context, is_marked: bool, now: float) -> list[Piece]:
        """One row."""
        container = shown.container
        is_over = shown.gone_at is not None
        pieces: list[Piece] = [_margin(container, is_marked, is_over)]
        for number, cells in self.placed.items():
            column = self.columns[number]
            drawn = _DRAWN.get(column.key)
            if is_over and column.key == "state":
                pieces.append((fitted(gone_word(shown, now), cells), "warn"))
            elif drawn is not None and not is_over:
                pieces.extend(_clipped(drawn(container), cells))
            else:
                cell = column.drawn(container, context)
                text = fitted(cell.text or "-", cells, is_right=column.is_right)
                tone = "dim" if is_over or not cell.text else cell.style.value
                pieces.append((text, tone))
            pieces.append((" " * GAP, "plain"))
        return pieces


def widths_of(
    columns: Sequence[Column], containers: Iterable[Container], context: Context
) -> list[int]:
    """Cells that the widest row needs, column by column."""
    widths = [0] * len(columns)
    for container in containers:
        for number, column in enumerate(columns):
            if column.key != "layers" or container.verdict is not Verdict.OK:
                cells = width(visible(column.cell(container, context)))
                widths[number] = max(widths[number], cells)
    return [
        cells if column.max_width is None else min(cells, column.max_width)
        for cells, column in zip(widths, columns, strict=True)
    ]


def _shape(column: Column) -> Shape:
    return replace(
        column.shape,
        min_width=_LEAST.get(column.key, column.min_width),
        priority=_PRIORITY.get(column.key, column.priority),
    )


def _first_width(column: Column) -> int:
    """Before any row is known: the header with the sign of its order."""
    return _LAYERS_CELLS if column.key == "layers" else width(column.header) + 1


def _margin(container: Container, is_marked: bool, is_over: bool) -> Piece:
    if is_marked:
        return ("● ", "mark")
    if is_over:
        return ("· ", "dim")
    if container.has_problem:
        return ("! ", "problem")
    return ("? ", "warn") if container.verdict is Verdict.UNKNOWN else ("  ", "plain")


def gone_word(shown: Shown, now: float) -> str:
    """`gone 3s`, or `stale 40s` where only its silent source knew it."""
    seconds = shown.gone_s(now) or 0.0
    return f"{'stale' if shown.is_stale else 'gone'} {age_text(seconds)}"


def layer_pieces(container: Container) -> list[Piece]:
    """The nine signs, each in the colour of its verdict, and the words for what is wrong."""
    pieces: list[Piece] = []
    for layer in Layer:
        view = container.layers.get(layer)
        verdict = Verdict.NOT_EXPECTED if view is None else view.verdict
        tone = verdict_style(verdict).value
        sign = layer_sign(layer, verdict)
        if pieces and pieces[-1][1] == tone:
            pieces[-1] = (pieces[-1][0] + sign, tone)
        else:
            pieces.append((sign, tone))
    if container.stale_s is not None:
        pieces.append((f" stale {age_text(container.stale_s)}", "warn"))
    words = layer_words(container)
    if words:
        pieces.append((f" {words}", verdict_style(container.verdict).value))
    return pieces


_DRAWN: dict[str, Callable[[Container], list[Piece]]] = {"layers": layer_pieces}


def _clipped(pieces: Pieces, cells: int) -> list[Piece]:
    """The pieces in exactly so many cells."""
    kept: list[Piece] = []
    left = cells
    for text, tone in pieces:
        if left <= 0:
            break
        text = visible(text)
        shown = text if width(text) <= left else fitted(text, left)
        kept.append((shown, tone))
        left -= width(shown)
    if left > 0:
        kept.append((" " * left, "plain"))
    return kept
