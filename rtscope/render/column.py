"""What a column is: header, cell, sort value and layout in one object."""

from collections.abc import Callable, Mapping
from datetime import datetime

from rtscope.model.facts import fact, field
from rtscope.model.inventory import Container
from rtscope.render.style import Style
from rtscope.render.text import Cell, Shape

SortValue = tuple[int, float, str]
"""Comparable whatever the type was: what is unknown sorts last."""


@fact
class Context:
    """What a cell needs beside its container.

    Attributes:
        now: The inventory's instant: ages are measured from it, not from the clock.
        short_ids: Container key -> the shortest id that names only this one.
        is_full: Ids, images and commands are not shortened.
    """

    now: datetime
    short_ids: Mapping[str, str] = field(default_factory=dict)
    is_full: bool = False
    is_utc: bool = False


def _no_style(_container: Container) -> Style:
    return Style.PLAIN


@fact
class Column:
    """One column.

    Attributes:
        key: Lower case; what `--columns` and `--sort` name.
        priority: See `Shape`: the highest is dropped first.
        needs: Facts that are read only when this column is shown; see `Targets.needs`.
        is_default, is_wide: In the default list, in the wide one.
    """

    key: str
    header: str
    cell: Callable[[Container, Context], str]
    sort_value: Callable[[Container], SortValue]
    title: str
    priority: int = 5
    needs: frozenset[str] = frozenset()
    is_right: bool = False
    min_width: int = 4
    max_width: int | None = None
    is_default: bool = False
    is_wide: bool = False
    style: Callable[[Container], Style] = _no_style

    @property
    def shape(self) -> Shape:
        """Its layout in a table."""
        return Shape(
            header=self.header,
            priority=self.priority,
            is_right=self.is_right,
            min_width=self.min_width,
            max_width=self.max_width,
        )

    def drawn(self, container: Container, context: Context) -> Cell:
        """The cell with its colour."""
        return Cell(text=self.cell(container, context), style=self.style(container))


def text_value(text: str | None) -> SortValue:
    """Sorts by text, without regard to case; unknown last."""
    return (1, 0.0, "") if text is None else (0, 0.0, text.casefold())


def number_value(number: float | None) -> SortValue:
    """Sorts by number; unknown last."""
    return (1, 0.0, "") if number is None else (0, float(number), "")


def newest_value(at: datetime | None) -> SortValue:
    """Sorts the newest first: the smallest age; unknown last."""
    return (1, 0.0, "") if at is None else (0, -at.timestamp(), "")
