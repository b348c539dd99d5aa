"""One or two lines of pieces: header, title and footer."""

from collections.abc import Callable, Mapping, Sequence

from rich.style import Style as Paint
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from rtscope.tui.pieces import Pieces, length, strip_of


class Bar(Widget):
    """Lines that are drawn anew only where their pieces changed."""

    class Pressed(Message):
        """A piece of the bar was clicked.

        Attributes:
            piece: Number of the piece in its line.
        """

        def __init__(self, bar: "Bar", line: int, piece: int) -> None:
            super().__init__()
            self.bar = bar
            self.line = line
            self.piece = piece

    def __init__(
        self,
        draw: Callable[[int], Sequence[Pieces]],
        *,
        id: str,  # noqa: A002  # Textual's name
        tone: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._draw = draw
        self._tone = tone
        self._lines: Sequence[Pieces] = ()
        self._width = -1
        self._paints: Mapping[str, Paint] = {}

    def redraw(self, paints: Mapping[str, Paint] | None = None) -> None:
        """Ask for the pieces again; nothing is painted where they are the same."""
        if paints is not None:
            self._paints = paints
        width = self.size.width
        lines = self._draw(width) if width else ()
        if lines != self._lines or width != self._width or paints is not None:
            self._lines, self._width = lines, width
            self.refresh()

    def on_resize(self) -> None:
        self.redraw()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        if self._tone is not None:
            base += self._paints.get(self._tone, Paint.null())
        if y >= len(self._lines):
            return Strip.blank(width, base)
        strip = strip_of(self._lines[y], self._paints)
        return strip.crop_extend(0, width, base).apply_style(base)

    def on_click(self, event: events.Click) -> None:
        if event.y >= len(self._lines):
            return
        left = 0
        for number, piece in enumerate(self._lines[event.y]):
            left += length([piece])
            if event.x < left:
                self.post_message(self.Pressed(self, event.y, number))
                return
