"""What every view offers to the app."""

from collections.abc import Mapping
from typing import ClassVar

from rich.style import Style as Paint
from textual.containers import Vertical

from rtscope.tui.layout import Layout
from rtscope.tui.picture import Picture
from rtscope.tui.pieces import Pieces
from rtscope.tui.widgets.rows import Rows


class View(Vertical):
    """A list of rows that shows one side of the picture.

    Attributes:
        name_of: As in `registry`.
        picture: What is shown now; None before the first.
    """

    where: ClassVar[str] = ""
    picture: Picture | None = None

    @property
    def rows(self) -> Rows:
        raise NotImplementedError

    def take(self, picture: Picture) -> None:
        """Show this from now on."""
        raise NotImplementedError

    def tick(self, picture: Picture) -> None:
        """Time went by, nothing else: ages are drawn anew."""
        raise NotImplementedError

    def paint(self, paints: Mapping[str, Paint]) -> None:
        self.rows.redraw(paints)

    def status(self) -> Pieces:
        """For the title: how many, in which order, what is hidden."""
        return ()

    def selected(self) -> str | None:
        """Key of the container under the cursor; None where there is none."""
        return None

    def select(self, key: str) -> bool:
        """Put the cursor on a container; whether it is in this view."""
        return self.rows.move_to_key(key)

    def open(self) -> str:
        """Enter: what the app is to do: `detail`, a view's name, or nothing."""
        return ""

    def filter(self, text: str) -> None:
        """Narrow the rows while it is typed."""

    def filter_text(self) -> str:
        return ""

    def filter_trouble(self) -> str | None:
        """What of the filter is not understood."""
        return None

    def command_line(self) -> list[str]:
        """The verb and flags that print what is on screen."""
        return []

    def restore(self, layout: Layout) -> None:
        """What was remembered of the last run."""

    def remember(self, layout: Layout) -> Layout:
        """The layout with this view's part."""
        return layout
