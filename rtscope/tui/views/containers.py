"""Every container of every runtime, one row each; those with a problem first unless sorted."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.style import Style as Paint
from textual.app import ComposeResult

from rtscope.model.facts import replace
from rtscope.model.inventory import Container, Inventory
from rtscope.render.column import Context
from rtscope.render.columns import BY_KEY, DEFAULT
from rtscope.render.ids import SHORT_ID, short_ids
from rtscope.render.select import Selection, in_order, select
from rtscope.tui.filtering import Test, terms, test_of
from rtscope.tui.keeper import Shown
from rtscope.tui.keys import CONTAINERS
from rtscope.tui.layout import Layout
from rtscope.tui.picture import Picture, Prepared
from rtscope.tui.pieces import Piece, Pieces
from rtscope.tui.views.base import View
from rtscope.tui.views.groups import GROUPS, PREFIX, grouped, heading_key, next_group
from rtscope.tui.views.rowdraw import Drawing, widths_of
from rtscope.tui.widgets.bar import Bar
from rtscope.tui.widgets.rows import Rows


class ContainerRows(Rows):
    """The rows; the view draws them."""

    view: "ContainersView"

    def pieces(self, index: int, width: int) -> Pieces:
        return self.view.row(self.keys[index], width)

    def on_resize(self) -> None:
        self.view.resized(self.room)
        super().on_resize()


class ContainersView(View):
    """The list."""

    where: ClassVar[str] = CONTAINERS

    def __init__(self) -> None:
        super().__init__(id="containers")
        self.sort: str | None = None
        self.group: str | None = None
        self.is_all = False
        self.has_sandboxes = False
        self.marks: set[str] = set()
        self._columns = DEFAULT
        self._drawing = Drawing(DEFAULT)
        self._filter = ""
        self._test: Test | None = None
        self._folded: set[str] = set()
        self._drawn_with: Context | None = None
        self._headings: dict[str, tuple[str, int, int]] = {}
        self._count = 0
        self._hidden = 0
        self._rows = ContainerRows(id="container-rows")
        self._rows.view = self
        self._head = Bar(self._header, id="container-head")

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._rows

    @property
    def rows(self) -> Rows:
        return self._rows

    @property
    def column_keys(self) -> tuple[str, ...]:
        return tuple(column.key for column in self._columns)

    def prepare(self, inventory: Inventory) -> Prepared:
        """What a list of any length needs; called in the join's thread."""
        columns, ids = self._columns, short_ids(inventory.containers)
        context = Context(now=inventory.taken_at, short_ids=ids)
        rows = (c for c in inventory.containers if not c.is_sandbox)
        return Prepared(
            short_ids=ids,
            columns=tuple(column.key for column in columns),
            widths=tuple(widths_of(columns, rows, context)),
        )

    # ------------------------------------------------------------ what is shown
    def take(self, picture: Picture) -> None:
        self.picture = picture
        inventory = picture.inventory
        if inventory is None:
            return
        prepared = picture.prepared
        ghosts = {
            key: shown.container.id[:SHORT_ID]
            for key, shown in picture.shown.items()
            if shown.gone_at is not None
        }
        if prepared is not None and prepared.columns == self.column_keys:
            self._drawing.widen(prepared.widths)
        ids = short_ids(inventory.containers) if prepared is None else prepared.short_ids
        self._drawn_with = Context(now=picture.at, short_ids={**ids, **ghosts})
        self.marks &= picture.shown.keys()
        self._arrange()

    def _arrange(self) -> None:
        picture, context = self.picture, self._drawn_with
        if picture is None or context is None or picture.inventory is None:
            return
        selection = Selection(
            is_all=self.is_all,
            is_every_origin=True,
            has_sandboxes=self.has_sandboxes,
            sort=self.sort,
        )
        chosen = list(select(picture.inventory, selection))
        self._hidden = self._hidden_now(len(chosen), picture)
        ghosts = [
            s.container
            for key, s in picture.shown.items()
            if s.gone_at is not None and self._rows.index_of(key) is not None
        ]
        if ghosts:
            chosen = list(in_order([*chosen, *ghosts], self.sort))
        if self._test is not None:
            chosen = [container for container in chosen if self._test(container)]
        self._count = len(chosen)
        is_measured = picture.prepared is not None and not self.has_sandboxes
        if not is_measured or self.column_keys != getattr(picture.prepared, "columns", None):
            self._drawing.widen(widths_of(self._columns, chosen, context))
        self._rows.empty = self._empty_text(picture)
        self._rows.show(self._keys(chosen))
        self._head.redraw()

    def _hidden_now(self, chosen: int, picture: Picture) -> int:
        assert picture.inventory is not None
        if self.has_sandboxes:
            return len(picture.inventory.containers) - chosen
        return sum(1 for c in picture.inventory.containers if not c.is_sandbox) - chosen

    def _empty_text(self, picture: Picture) -> str:
        if self._filter:
            return f"nothing matches {self._filter!r}: Esc shows everything"
        if self._hidden:
            return f"nothing runs; {self._hidden} stopped: a shows them"
        asked = len(picture.sources)
        return f"no container on this node; {asked} sources were asked: 3 shows them"

    def _keys(self, chosen: Sequence[Container]) -> list[str]:
        self._headings = {}
        if self.group is None:
            return [container.key for container in chosen]
        keys: list[str] = []
        for name, members in grouped(chosen, self.group):
            heading = heading_key(self.group, name)
            problems = sum(1 for container in members if container.has_problem)
            self._headings[heading] = (name, len(members), problems)
            keys.append(heading)
            if heading not in self._folded:
                keys.extend(container.key for container in members)
        return keys

    def tick(self, picture: Picture) -> None:
        self.picture = picture
        if self._drawn_with is not None:
            self._drawn_with = replace(self._drawn_with, now=picture.at)
            self._rows.redraw()

    # ------------------------------------------------------------ drawing
    def _header(self, width: int) -> Sequence[Pieces]:
        return (self._drawing.header(self.sort),)

    def paint(self, paints: Mapping[str, Paint]) -> None:
        super().paint(paints)
        self._head.redraw(paints)

    def resized(self, width: int) -> None:
        self._drawing.place(width)
        self._head.redraw()

    def row(self, key: str, width: int) -> Pieces:
        """One line: a container's, or a group's heading."""
        if key in self._headings:
            return self._heading(key)
        shown = self.picture.shown.get(key) if self.picture is not None else None
        if shown is None or self._drawn_with is None or self.picture is None:
            return ()
        return self._drawing.row(shown, self._drawn_with, key in self.marks, self.picture.clock)

    def _heading(self, key: str) -> Pieces:
        name, count, problems = self._headings[key]
        sign = "▸ " if key in self._folded else "▾ "
        pieces: list[Piece] = [
            (sign, "accent"),
            (name or f"no {self.group}", "head" if name else "dim"),
            (f"  {count}", "dim"),
        ]
        if problems:
            pieces.append((f"  {problems} with a problem", "problem"))
        return pieces

    def status(self) -> Pieces:
        pieces: list[Piece] = [(f"{self._count} shown", "plain")]
        if self._hidden:
            pieces.append((f", {self._hidden} stopped hidden (a)", "dim"))
        if self.marks:
            pieces.append((f", {len(self.marks)} marked", "mark"))
        if self.group is not None:
            pieces.append((f" · by {self.group}", "accent"))
        pieces.append((f" · {self._order_text()}", "dim"))
        if self._filter:
            pieces.append((f" · /{self._filter}", "accent"))
        return pieces

    def _order_text(self) -> str:
        if self.sort is None:
            return "problems first"
        return f"sorted by {self.sort.removeprefix('-')}"

    # ------------------------------------------------------------ what keys do
    def selected(self) -> str | None:
        key = self._rows.key
        return None if key is None or key.startswith(PREFIX) else key

    def select(self, key: str) -> bool:
        if self._rows.move_to_key(key):
            return True
        if self.picture is not None and key in self.picture.shown and not self.is_all:
            self.is_all = True
            self._arrange()
        return self._rows.move_to_key(key)

    def open(self) -> str:
        key = self._rows.key
        if key is None:
            return ""
        if not key.startswith(PREFIX):
            return "detail"
        self._folded ^= {key}
        self._arrange()
        return ""

    def mark(self) -> None:
        key = self.selected()
        if key is not None:
            self.marks ^= {key}
            self._rows.redraw()
            self._rows.move(1)

    def unmark(self) -> None:
        self.marks.clear()
        self._rows.redraw()

    def filter(self, text: str) -> None:
        self._filter = text.strip()
        self._test = test_of(text)
        self._arrange()

    def filter_text(self) -> str:
        return self._filter

    def filter_trouble(self) -> str | None:
        return next((term.trouble for term in terms(self._filter) if term.trouble), None)

    def toggle_all(self) -> None:
        self.is_all = not self.is_all
        self._arrange()

    def toggle_sandboxes(self) -> None:
        self.has_sandboxes = not self.has_sandboxes
        self._arrange()

    def group_next(self) -> None:
        self.group_by(next_group(self.group))

    def group_by(self, group: str | None) -> None:
        self.group = group if group in GROUPS else None
        self._arrange()

    def sort_by(self, key: str) -> None:
        """By this column; again: the other way; empty: problems first."""
        if not key:
            self.sort = None
        else:
            self.sort = f"-{key}" if self.sort == key else key
        self._arrange()

    def columns_of(self, keys: Sequence[str]) -> None:
        """Show these columns; none means the usual ones."""
        found = tuple(BY_KEY[key] for key in keys if key in BY_KEY)
        self._columns = found or DEFAULT
        self._drawing = Drawing(self._columns)
        self._drawing.place(self._rows.room)
        self._arrange()

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        event.stop()
        column = self._drawing.column_at(event.piece)
        if column is not None:
            self.sort_by(column.key)

    def command_line(self) -> list[str]:
        words = ["ps", *(["-a"] if self.is_all else []), "--all-runtimes"]
        words += ["--sandboxes"] if self.has_sandboxes else []
        words += ["--sort", self.sort] if self.sort is not None else []
        if self._columns != DEFAULT:
            words += ["--columns", ",".join(column.key for column in self._columns)]
        for term in terms(self._filter):
            if term.pair is not None and not term.is_inverse:
                words += ["--filter", term.pair]
        for term in terms(self._filter):
            if term.trouble is None and (term.pair is None or term.is_inverse):
                flags = "-Eiv" if term.is_inverse else "-Ei"
                words += ["|", "grep", flags, "--", term.text]
        return words

    # ------------------------------------------------------------ layout
    def restore(self, layout: Layout) -> None:
        known = layout.sort is not None and layout.sort.removeprefix("-") in BY_KEY
        self.sort = layout.sort if known else None
        self.group = layout.group if layout.group in GROUPS else None
        self.is_all = layout.is_all
        if layout.columns:
            self._columns = tuple(BY_KEY[k] for k in layout.columns if k in BY_KEY) or DEFAULT
            self._drawing = Drawing(self._columns)

    def remember(self, layout: Layout) -> Layout:
        is_usual = self._columns == DEFAULT
        return replace(
            layout,
            sort=self.sort,
            group=self.group,
            is_all=self.is_all,
            columns=None if is_usual else tuple(column.key for column in self._columns),
        )


def marked_or_selected(view: ContainersView) -> list[Shown]:
    """The marked rows, or the one under the cursor."""
    picture = view.picture
    if picture is None:
        return []
    keys = sorted(view.marks) or [key for key in [view.selected()] if key is not None]
    return [picture.shown[key] for key in keys if key in picture.shown]
