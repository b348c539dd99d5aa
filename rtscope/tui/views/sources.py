"""Every source: how it was found, how it answered, what it did not answer."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.style import Style as Paint
from textual.app import ComposeResult

from rtscope.model.observation import Endpoint
from rtscope.render.escape import visible
from rtscope.render.sources import COLUMNS, in_order
from rtscope.render.text import GAP, fit
from rtscope.render.units import age_text
from rtscope.render.width import width as width_of
from rtscope.tui.keys import LIST
from rtscope.tui.picture import Picture
from rtscope.tui.pieces import Piece, Pieces, fitted
from rtscope.tui.slots import SourceView
from rtscope.tui.views.base import View
from rtscope.tui.widgets.bar import Bar
from rtscope.tui.widgets.rows import Rows

_SHOWN = tuple(column for column in COLUMNS if not column.is_wide)
_STATE = next(n for n, column in enumerate(_SHOWN) if column.shape.header == "STATE")
_ANSWERED = "AGE"
_AGE_CELLS = 5


class SourceRows(Rows):
    """The rows; the view draws them."""

    view: "SourcesView"

    def pieces(self, index: int, width: int) -> Pieces:
        return self.view.row(self.keys[index])

    def on_resize(self) -> None:
        self.view.resized(self.room)
        super().on_resize()


class SourcesView(View):
    """What failed stands first."""

    where: ClassVar[str] = LIST

    def __init__(self) -> None:
        super().__init__(id="sources")
        self._by_source: dict[str, SourceView] = {}
        self._natural = [width_of(column.shape.header) for column in _SHOWN]
        self._placed: dict[int, int] = {}
        self._room = 0
        self._filter = ""
        self._rows = SourceRows(id="source-rows", empty="looking for sources")
        self._rows.view = self
        self._head = Bar(self._header, id="source-head")

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._rows

    @property
    def rows(self) -> Rows:
        return self._rows

    # ------------------------------------------------------------ what is shown
    def take(self, picture: Picture) -> None:
        self.picture = picture
        views = picture.sources
        if picture.is_recorded and picture.inventory is not None:
            views = tuple(SourceView(endpoint=e) for e in picture.inventory.endpoints)
        self._by_source = {view.endpoint.source: view for view in views}
        self._arrange()

    def tick(self, picture: Picture) -> None:
        self.take(picture)

    def _arrange(self) -> None:
        folded = self._filter.casefold()
        endpoints = [
            e
            for e in in_order(view.endpoint for view in self._by_source.values())
            if not folded or folded in f"{e.source} {e.state} {e.version}".casefold()
        ]
        before = list(self._natural)
        for endpoint in endpoints:
            for number, cell in enumerate(self._cells(endpoint)):
                limit = _SHOWN[number].shape.max_width
                cells = width_of(visible(cell[0]))
                cells = cells if limit is None else min(cells, limit)
                self._natural[number] = max(self._natural[number], cells)
        if before != self._natural:
            self.resized(self._room)
        self._rows.show([endpoint.source for endpoint in endpoints])

    def _cells(self, endpoint: Endpoint) -> list[Piece]:
        view = self._by_source[endpoint.source]
        cells = [(c.cell(endpoint), c.style(endpoint).value) for c in _SHOWN]
        if view.waiting_s is not None and endpoint.skip is None:
            cells[_STATE] = (view.word, "warn")
        elif view.word == "asking":
            cells[_STATE] = (view.word, "dim")
        return cells

    # ------------------------------------------------------------ drawing
    def resized(self, room: int) -> None:
        self._room = room
        if room:
            shapes = [column.shape for column in _SHOWN]
            self._placed = fit(shapes, list(self._natural), room - 2 - _AGE_CELLS - GAP)
            self._head.redraw()

    def _header(self, width: int) -> Sequence[Pieces]:
        parts: list[Piece] = [("  ", "head")]
        for number, cells in self._placed.items():
            shape = _SHOWN[number].shape
            text = fitted(shape.header, cells, is_right=shape.is_right)
            parts.append((text + " " * GAP, "head"))
            if number == _STATE:
                parts.append((fitted(_ANSWERED, _AGE_CELLS, is_right=True) + " " * GAP, "head"))
        return (parts,)

    def paint(self, paints: Mapping[str, Paint]) -> None:
        super().paint(paints)
        self._head.redraw(paints)

    def row(self, key: str) -> Pieces:
        view = self._by_source.get(key)
        if view is None:
            return ()
        endpoint = view.endpoint
        cells = self._cells(endpoint)
        is_bad = cells[_STATE][1] == "problem"
        parts: list[Piece] = [("! ", "problem") if is_bad else ("  ", "plain")]
        for number, room in self._placed.items():
            text, tone = cells[number]
            shape = _SHOWN[number].shape
            parts.append(
                (fitted(text or "-", room, is_right=shape.is_right), tone if text else "dim")
            )
            parts.append((" " * GAP, "plain"))
            if number == _STATE:
                parts.append((self._age(view), "dim"))
                parts.append((" " * GAP, "plain"))
        return parts

    def _age(self, view: SourceView) -> str:
        text = "-" if view.age_s is None else age_text(view.age_s)
        return fitted(text, _AGE_CELLS, is_right=True)

    def status(self) -> Pieces:
        words: dict[str, int] = {}
        for view in self._by_source.values():
            words[view.endpoint.state.value] = words.get(view.endpoint.state.value, 0) + 1
        text = ", ".join(f"{count} {word}" for word, count in words.items())
        pieces: list[Piece] = [(f"{len(self._by_source)} sources: {text}", "plain")]
        if self._filter:
            pieces.append((f" · /{self._filter}", "accent"))
        return pieces

    # ------------------------------------------------------------ what keys do
    def open(self) -> str:
        return "detail" if self._rows.key is not None else ""

    def source(self) -> SourceView | None:
        """The one under the cursor."""
        return self._by_source.get(self._rows.key or "")

    def filter(self, text: str) -> None:
        self._filter = text.strip()
        self._arrange()

    def filter_text(self) -> str:
        return self._filter

    def command_line(self) -> list[str]:
        return ["sources"]
