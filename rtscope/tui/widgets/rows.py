"""A list of any length: only the lines on screen are drawn, and the cursor stays with its row."""

from collections.abc import Mapping, Sequence

from rich.style import Style as Paint
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from rtscope.tui.pieces import Pieces, strip_of

SHIFT = 8
_BLANK: Pieces = ()


class Rows(ScrollView, can_focus=True):
    """Keyed rows; a subclass says how one is drawn.

    Attributes:
        cursor: Index of the row under the cursor.
        shift: Cells that are scrolled away on the left.
        is_followed: Nothing was touched yet: the cursor stays on the first row.
    """

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, rows: "Rows") -> None:
            super().__init__()
            self.rows = rows

    class Opened(Message):
        """A row was clicked again where the cursor already was."""

        def __init__(self, rows: "Rows") -> None:
            super().__init__()
            self.rows = rows

    def __init__(self, *, id: str | None = None, empty: str = "") -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.keys: Sequence[str] = ()
        self.cursor = 0
        self.shift = 0
        self.is_followed = True
        self.empty = empty
        self._is_to_centre = False
        self._index: dict[str, int] = {}
        self._strips: dict[int, Strip] = {}
        self._paints: Mapping[str, Paint] = {}

    def pieces(self, index: int, width: int) -> Pieces:
        """The line of a row. For subclasses."""
        raise NotImplementedError(index, width)

    @property
    def room(self) -> int:
        """Cells of a line, without the scrollbar's."""
        return self.scrollable_content_region.width

    # ------------------------------------------------------------ content
    @property
    def key(self) -> str | None:
        """Key of the row under the cursor."""
        return self.keys[self.cursor] if self.keys else None

    def index_of(self, key: str) -> int | None:
        return self._index.get(key)

    def show(self, keys: Sequence[str]) -> None:
        """These rows from now on; cursor and scroll stay with the object they were on."""
        before, old = self.key, self.cursor
        self._strips.clear()
        if keys != self.keys:
            new = self._new_cursor(keys)
            self.keys = keys
            self._index = {key: number for number, key in enumerate(keys)}
            self._anchor(old, new)
            self.cursor = new
        self.refresh()
        if self.key != before:
            self.post_message(self.Moved(self))

    def _new_cursor(self, keys: Sequence[str]) -> int:
        """Where the old row went; where it is gone, its next neighbour that is left."""
        if self.is_followed or not self.keys:
            return 0
        index = {key: number for number, key in enumerate(keys)}
        for key in (*self.keys[self.cursor :], *reversed(self.keys[: self.cursor])):
            if key in index:
                return index[key]
        return 0

    def _anchor(self, old: int, new: int) -> None:
        """The row keeps its line of the screen, unless the list stood at its top."""
        top = round(self.scroll_y)
        height = max(1, self.size.height)
        self.virtual_size = Size(self.room, len(self.keys))
        if top == 0 and new < height:
            return
        if top <= old < top + height:
            target = max(0, min(top + new - old, len(self.keys) - height))
            self.scroll_to(y=target, animate=False, force=True, immediate=True)

    def redraw(self, paints: Mapping[str, Paint] | None = None) -> None:
        """Draw everything anew."""
        if paints is not None:
            self._paints = paints
        self._strips.clear()
        self.refresh()

    # ------------------------------------------------------------ cursor
    def move_to(self, index: int, *, is_centred: bool = False) -> None:
        """The cursor on this row, which is scrolled into view, with what stands around it."""
        self.is_followed = False
        if not self.keys:
            return
        index = max(0, min(index, len(self.keys) - 1))
        before, self.cursor = self.cursor, index
        self._bring_into_view(is_centred=is_centred)
        if before != index:
            self.refresh()
            self.post_message(self.Moved(self))

    def _bring_into_view(self, *, is_centred: bool) -> None:
        top, height = round(self.scroll_y), self.size.height
        if not height:
            self._is_to_centre = is_centred
        elif is_centred and not top < self.cursor < top + height - 1:
            start = max(0, min(self.cursor - height // 3, len(self.keys) - height))
            self.scroll_to(y=start, animate=False, force=True, immediate=True)
        else:
            self.scroll_to_region(
                Region(0, self.cursor, 1, 1),
                animate=False,
                force=True,
                immediate=True,
                x_axis=False,
            )

    def move(self, step: int) -> None:
        self.move_to(self.cursor + step)

    def page(self, step: int) -> None:
        self.move(step * max(1, self.size.height - 1))

    def move_to_key(self, key: str, *, is_centred: bool = False) -> bool:
        """Whether there is such a row; the cursor is on it then."""
        index = self._index.get(key)
        if index is not None:
            self.move_to(index, is_centred=is_centred)
        return index is not None

    def slide(self, step: int) -> None:
        """Scroll sideways."""
        self.shift = max(0, self.shift + step * SHIFT)
        self.redraw()

    # ------------------------------------------------------------ drawing
    def render_line(self, y: int) -> Strip:
        index = y + round(self.scroll_y)
        width = self.room
        base = self.rich_style
        if not self.keys and y == 1 and self.empty:
            strip = strip_of([("  " + self.empty, "dim")], self._paints)
            return strip.crop_extend(0, width, base).apply_style(base)
        if index >= len(self.keys):
            return Strip.blank(width, base)
        strip = self._strips.get(index) or self._strip(index, width, base)
        if index != self.cursor:
            return strip
        tone = "cursor" if self.has_focus else "rest"
        return _over(strip, self._paints.get(tone))

    def _strip(self, index: int, width: int, base: Paint) -> Strip:
        strip = strip_of(self.pieces(index, width), self._paints)
        strip = strip.crop_extend(self.shift, self.shift + width, base).apply_style(base)
        if len(self._strips) > 500:
            self._strips.clear()
        self._strips[index] = strip
        return strip

    def on_resize(self) -> None:
        self._strips.clear()
        self.virtual_size = Size(self.room, len(self.keys))
        if self.keys:
            is_centred, self._is_to_centre = self._is_to_centre, False
            self._bring_into_view(is_centred=is_centred)

    def on_click(self, event: events.Click) -> None:
        index = event.y + round(self.scroll_y)
        if index >= len(self.keys):
            return
        is_again = index == self.cursor and not self.is_followed
        self.move_to(index)
        if is_again or event.chain > 1:
            self.post_message(self.Opened(self))


def _over(strip: Strip, paint: Paint | None) -> Strip:
    """The strip with another background."""
    if paint is None:
        return strip
    from rich.segment import Segment

    return Strip(
        [Segment(s.text, s.style + paint if s.style else paint) for s in strip], strip.cell_length
    )
