"""The detail of the selection: its chain, its processes and its raw documents, or one source."""

from collections.abc import Mapping, Sequence

from rich.style import Style as Paint
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from rtscope.model.facts import replace
from rtscope.tui.documents import Wanted, documents_of
from rtscope.tui.messages import DocumentTaken
from rtscope.tui.picture import Picture
from rtscope.tui.pieces import Piece, Pieces
from rtscope.tui.slots import SourceView
from rtscope.tui.views.chain import Line, chain_lines, title_pieces
from rtscope.tui.views.processes import process_lines
from rtscope.tui.views.raw import Folding, Loaded, matching_paths, raw_lines
from rtscope.tui.views.rowdraw import gone_word
from rtscope.tui.views.source import source_lines
from rtscope.tui.widgets.bar import Bar
from rtscope.tui.widgets.rows import Rows

TABS = ("Chain", "Processes", "Raw")


class DetailRows(Rows):
    """Lines that were made beforehand."""

    def __init__(self) -> None:
        super().__init__(id="detail-rows")
        self.lines: Sequence[Line] = ()
        self.detail: Detail | None = None

    def pieces(self, index: int, width: int) -> Pieces:
        return [(" ", "plain"), *self.lines[index][1]]

    def put(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.show([key for key, _ in lines])

    def on_resize(self) -> None:
        super().on_resize()
        if self.detail is not None:
            self.detail.refresh_lines()


class Detail(Vertical):
    """Follows the selection; keeps its tab.

    Attributes:
        tab: Index into TABS.
        key: Of the container; None for a source.
    """

    class DocumentsWanted(Message):
        """The raw tab is open and these were not fetched yet."""

        def __init__(self, key: str, wanted: tuple[Wanted, ...]) -> None:
            super().__init__()
            self.key = key
            self.wanted = wanted

    def __init__(self) -> None:
        super().__init__(id="detail")
        self.tab = 0
        self.key: str | None = None
        self.source: str | None = None
        self._picture: Picture | None = None
        self._documents: dict[str, Loaded] = {}
        self._folding = Folding()
        self._rows = DetailRows()
        self._rows.detail = self
        self._tabs = Bar(self._tab_line, id="detail-tabs", tone="bar")

    def compose(self) -> ComposeResult:
        yield self._tabs
        yield self._rows

    @property
    def rows(self) -> Rows:
        return self._rows

    @property
    def is_raw(self) -> bool:
        return self.key is not None and self.tab == TABS.index("Raw")

    # ------------------------------------------------------------ what is shown
    def look_at(self, picture: Picture, key: str | None, source: str | None) -> None:
        """Show a container, or a source."""
        if (key, source) != (self.key, self.source):
            self.key, self.source = key, source
            self._documents = {}
            self._rows.is_followed = True
            self._rows.shift = 0
            self._rows.keys = ()
            self._rows.scroll_to(y=0, animate=False, force=True, immediate=True)
        self.take(picture)

    def take(self, picture: Picture) -> None:
        self._picture = picture
        self._want_documents()
        self.refresh_lines()
        self._tabs.redraw()

    def refresh_lines(self) -> None:
        if self._picture is not None and self._rows.room:
            self._rows.put(self._lines(self._picture, self._rows.room - 1))

    def _lines(self, picture: Picture, width: int) -> list[Line]:
        if self.source is not None:
            view = _source_view(picture, self.source)
            if view is None:
                return [("none", [("this source is not there any more", "dim")])]
            return source_lines(picture.inventory, view, width)
        container = picture.container(self.key)
        inventory = picture.inventory
        if container is None or inventory is None:
            return [("none", [("nothing is selected", "dim")])]
        if self.tab == 0:
            return chain_lines(inventory, container, width, picture.at)
        if self.tab == 1:
            now_ns = inventory.taken_boottime_ns
            if not picture.is_recorded:
                now_ns += round((picture.at - inventory.taken_at).total_seconds() * 1e9)
            return process_lines(inventory, container, now_ns)
        return raw_lines(self._documents, self._folding)

    def _tab_line(self, width: int) -> Sequence[Pieces]:
        if self.source is not None:
            return ([(" Source ", "accent")],)
        pieces: list[Piece] = [(" ", "plain")]
        for number, name in enumerate(TABS):
            is_here = number == self.tab
            pieces.append((f"[{name}]" if is_here else f" {name} ", "accent" if is_here else "dim"))
            pieces.append((" ", "plain"))
        shown = self._picture.shown.get(self.key or "") if self._picture is not None else None
        if shown is not None:
            pieces.append((" ", "plain"))
            pieces.extend(title_pieces(shown.container))
            if shown.gone_at is not None and self._picture is not None:
                word = gone_word(shown, self._picture.clock)
                pieces.append((f"  {word}: what was last known", "warn"))
        return (pieces,)

    def paint(self, paints: Mapping[str, Paint]) -> None:
        self._rows.redraw(paints)
        self._tabs.redraw(paints)

    # ------------------------------------------------------------ tabs
    def turn(self, step: int) -> None:
        if self.key is None:
            return
        self.show_tab((self.tab + step) % len(TABS))

    def show_tab(self, tab: int) -> None:
        self.tab = tab
        self._rows.is_followed = True
        self._rows.keys = ()
        self._rows.shift = 0
        self._rows.scroll_to(y=0, animate=False, force=True, immediate=True)
        if self._picture is not None:
            self.take(self._picture)

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        event.stop()
        number, rest = divmod(event.piece - 1, 2)
        if rest == 0 and 0 <= number < len(TABS) and self.key is not None:
            self.show_tab(number)

    # ------------------------------------------------------------ documents
    def _want_documents(self) -> None:
        picture = self._picture
        if not self.is_raw or self._documents or picture is None or picture.inventory is None:
            return
        container = picture.container(self.key)
        if container is None or self.key is None:
            return
        wanted = documents_of(picture.inventory, container)
        for number, one in enumerate(wanted):
            self._documents[f"{number} {one.name}"] = Loaded(name=one.name, error=one.trouble or "")
        self.post_message(self.DocumentsWanted(self.key, wanted))

    def take_document(self, message: DocumentTaken) -> None:
        if message.key != self.key or message.name not in self._documents:
            return
        loaded = self._documents[message.name]
        self._documents[message.name] = replace(
            loaded,
            document=message.document,
            removed=message.removed,
            error=message.error,
            is_here=True,
        )
        if self.is_raw:
            self.refresh_lines()

    def fold(self) -> None:
        """Open or close the branch under the cursor."""
        key = self._rows.key
        if self.is_raw and key is not None:
            self._folding.turn(key, key.count("\x1f"))
            self.refresh_lines()

    # ------------------------------------------------------------ search
    def search(self, text: str) -> None:
        """Mark it and go to the first match."""
        self._folding.search = text
        if self.is_raw:
            self.refresh_lines()
        self.match(0)

    def search_text(self) -> str:
        return self._folding.search

    def match(self, step: int) -> int:
        """The cursor on the next match; how many there are."""
        wanted = self._folding.search.casefold()
        if not wanted:
            return 0
        if self.is_raw:
            return self._raw_match(step)
        found = [
            number
            for number, (_, pieces) in enumerate(self._rows.lines)
            if wanted in "".join(text for text, _ in pieces).casefold()
        ]
        if found:
            self._rows.move_to(_next(found, self._rows.cursor, step))
        return len(found)

    def _raw_match(self, step: int) -> int:
        found = matching_paths(self._documents, self._folding.search)
        if not found:
            return 0
        for path in found:
            self._folding.unfold_to(path)
        self.refresh_lines()
        places = sorted(n for n in map(self._rows.index_of, found) if n is not None)
        if places:
            self._rows.move_to(_next(places, self._rows.cursor, step))
        return len(found)


def _next(places: Sequence[int], cursor: int, step: int) -> int:
    if step < 0:
        return next((n for n in reversed(places) if n < cursor), places[-1])
    least = cursor if step == 0 else cursor + 1
    return next((n for n in places if n >= least), places[0])


def _source_view(picture: Picture, source: str) -> SourceView | None:
    for view in picture.sources:
        if view.endpoint.source == source:
            return view
    if picture.inventory is not None:
        for endpoint in picture.inventory.endpoints:
            if endpoint.source == source:
                return SourceView(endpoint=endpoint)
    return None
