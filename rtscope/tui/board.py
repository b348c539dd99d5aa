"""The app's state and what is drawn of it; what keys do stands in `actions`."""

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from rich.style import Style as Paint
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive

from rtscope.config.deadlines import PAUSE_AFTER_S, QUIET_REFRESH_S, WAITING_AFTER_S
from rtscope.correlate.chain import tree
from rtscope.correlate.nodes import TreeNode
from rtscope.model.facts import replace
from rtscope.model.inventory import Inventory
from rtscope.tui.keeper import Keeper
from rtscope.tui.keys import KEYS, keys_of
from rtscope.tui.layout import Layout
from rtscope.tui.log import Log
from rtscope.tui.messages import InventoryTaken, KernelTaken, SourceTaken, WorkFailed
from rtscope.tui.picture import Counts, Picture, Prepared, counts_of
from rtscope.tui.pieces import Piece, Pieces, length, within
from rtscope.tui.schedule import Schedule
from rtscope.tui.themes import DEFAULT_THEME, FEW_COLOURS, NO_COLOUR, THEMES, paints_of
from rtscope.tui.views.base import View
from rtscope.tui.views.containers import ContainersView
from rtscope.tui.views.detail import Detail
from rtscope.tui.views.registry import VIEWS
from rtscope.tui.widgets.bar import Bar
from rtscope.tui.widgets.header import header_lines
from rtscope.tui.widgets.prompt import Prompt

TICK_S = 0.25
_AGES_S = 1.0
_BESIDE = 150
"""From this width on the detail stands beside the list, not below it."""
_TOLD_S = 8.0
FIRST_RUN = "Problems stand first. Enter: what every layer says. ?: all keys. q: quit."


class Board(App[int]):
    """What is known, and where it is drawn."""

    CSS_PATH: ClassVar[str] = "rtscope.tcss"
    TITLE = "rtscope"
    AUTO_FOCUS = None
    inventory: reactive[Inventory | None] = reactive(None, init=False)

    def __init__(self, *, log: Log, layout: Layout, clock: "Clock | None" = None) -> None:
        # Textual's own way without colour paints greys, whatever the background is.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.log_book = log
        self.remembered = layout
        self.clock = clock or Clock()
        self.schedule: Schedule | None = None
        self.mode = ""
        self.is_read_only = False
        self.keymap: Mapping[str, str] = {}
        self.paints: Mapping[str, Paint] = {}
        self.views: list[View] = [entry.make() for entry in VIEWS]
        self.view_number = 1
        self.detail = Detail()
        self.prompt = Prompt(id="prompt")
        self.told: Piece | None = None
        self._told_until = 0.0
        self._keeper = Keeper()
        self._tree: tuple[TreeNode, ...] = ()
        self._tree_of: Inventory | None = None
        self._prepared: Prepared | None = None
        self._counts = Counts()
        self._keyed_at = self.clock.monotonic()
        self._aged_at = 0.0
        self._frozen_at: datetime | None = None
        self._is_timer_set = False
        self.header = Bar(lambda width: header_lines(self.picture(), width), id="header")
        self.title_bar = Bar(self._title_line, id="title", tone="bar")
        self.footer = Bar(self._footer_line, id="footer")
        for theme in THEMES:
            self.register_theme(theme)

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.title_bar
        with Vertical(id="body"):
            with Vertical(id="views"):
                yield from self.views
            yield self.detail
        yield self.prompt
        yield self.footer

    # ------------------------------------------------------------ parts
    @property
    def view(self) -> View:
        return self.views[self.view_number - 1]

    @property
    def containers(self) -> ContainersView:
        found = self.views[0]
        assert isinstance(found, ContainersView)
        return found

    @property
    def is_detail_open(self) -> bool:
        return self.detail.has_class("-open")

    def usual_theme(self) -> str:
        """By what the terminal can show."""
        if self.no_color:
            return NO_COLOUR
        system = self.console.color_system
        if system is None:
            return NO_COLOUR
        return FEW_COLOURS if system == "standard" else DEFAULT_THEME

    # ------------------------------------------------------------ picture
    def picture(self) -> Picture:
        """This moment."""
        schedule, inventory = self.schedule, self.inventory
        at = self._frozen_at or self.clock.now()
        if inventory is not None and inventory.recorded_at is not None:
            at = inventory.recorded_at
        return Picture(
            at=at,
            clock=self.clock.monotonic(),
            inventory=inventory,
            shown=self._keeper.shown(),
            sources=() if schedule is None else tuple(schedule.views()),
            age_s=None if schedule is None else schedule.age_s,
            gauges=(None, None) if schedule is None else schedule.gauges,
            mode="paused" if schedule is not None and schedule.is_paused else self.mode,
            is_read_only=self.is_read_only,
            tree=self._tree,
            prepared=self._prepared,
            counts=self._counts,
        )

    def watch_inventory(self, inventory: Inventory | None) -> None:
        if inventory is not None:
            self._keeper.take(inventory, self.clock.monotonic())
            self._counts = counts_of(inventory)
            self.refresh_views()

    def refresh_views(self) -> None:
        """Everything that is visible takes the picture of now."""
        self._grow_tree()
        picture = self.picture()
        self.view.take(picture)
        if self.is_detail_open:
            self.detail.take(picture)
            self.follow()
        self.refresh_bars()

    def prepare(self, inventory: Inventory) -> Prepared:
        """In the join's thread: what would hold the screen's up."""
        prepared = self.containers.prepare(inventory)
        if self.view.id != "tree":
            return prepared
        return replace(prepared, tree=tree(inventory))

    def _grow_tree(self) -> None:
        """The tree costs as much as a quarter of the join: only where it is shown."""
        if self.view.id == "tree" and self._tree_of is not self.inventory:
            self._tree_of = self.inventory
            self._tree = () if self.inventory is None else tree(self.inventory)

    def here(self) -> frozenset[str]:
        """The parts of the screen whose keys hold now."""
        return frozenset()

    def follow(self) -> None:
        """The open detail shows the selection, while the list has the focus."""

    def refresh_bars(self) -> None:
        self._is_timer_set = False
        self.header.redraw()
        self.title_bar.redraw()
        self.footer.redraw()

    def repaint(self) -> None:
        """The theme changed."""
        self.paints = paints_of(self.current_theme)
        for view in self.views:
            view.paint(self.paints)
        self.detail.paint(self.paints)
        self.prompt.paint(self.paints)
        for bar in (self.header, self.title_bar, self.footer):
            bar.redraw(self.paints)

    def _title_line(self, width: int) -> Sequence[Pieces]:
        left: list[Piece] = [(" ", "plain")]
        for number, entry in enumerate(VIEWS, 1):
            is_here = number == self.view_number
            text = f"[{number} {entry.title}]" if is_here else f" {number} {entry.title} "
            left.append((text, "accent" if is_here else "dim"))
        left.append(("  ", "plain"))
        status = [[piece] for piece in self.view.status()]
        return ([*left, *within(status, width - length(left) - 1, "")],)

    def _footer_line(self, width: int) -> Sequence[Pieces]:
        if self.told is not None:
            return ([(" ", "plain"), self.told],)
        hints: list[Pieces] = []
        here = self.here()
        for key in KEYS:
            if key.hint and key.where in here:
                sign = keys_of(key, self.keymap)[0]
                hints.append([(sign, "accent"), (f" {key.hint}", "dim")])
        return ([(" ", "plain"), *within(hints, width - 2)],)

    def tell(self, text: str, *, is_wrong: bool = False) -> None:
        """One line in the footer, until it is read."""
        self.told = (text, "warn" if is_wrong else "accent")
        self._told_until = self.clock.monotonic() + _TOLD_S
        self.footer.redraw()

    # ------------------------------------------------------------ time
    def tick(self) -> None:
        """Four times a second: what is due, what fades, what grew older."""
        now = self.clock.monotonic()
        if self.told is not None and now > self._told_until:
            self.told = None
        schedule = self.schedule
        if schedule is not None:
            if not schedule.is_paused and now - self._keyed_at > PAUSE_AFTER_S:
                self.set_paused(True)
                self.tell("paused: no key for 10 minutes; any key goes on")
            schedule.tick()
            self._watch_requests(schedule)
        if self._keeper.expire(now):
            self.refresh_views()
        is_calm = schedule is None or schedule.is_paused or schedule.is_quiet
        if now - self._aged_at >= (QUIET_REFRESH_S if is_calm else _AGES_S):
            self._aged_at = now
            picture = self.picture()
            if not picture.is_recorded:
                self.view.tick(picture)
                if self.is_detail_open:
                    self.detail.take(picture)
        self.refresh_bars()

    def _watch_requests(self, schedule: Schedule) -> None:
        """A request that nobody answers is to be seen 0.3 s after it was made."""
        if not self._is_timer_set and schedule.is_asking:
            self._is_timer_set = True
            self.set_timer(WAITING_AFTER_S, self.refresh_bars)

    def set_paused(self, is_paused: bool) -> None:
        if self.schedule is not None:
            self.schedule.is_paused = is_paused
            self._frozen_at = self.clock.now() if is_paused else None
            if not is_paused:
                self.schedule.hurry()
            self.refresh_bars()

    def keyed(self) -> None:
        """A key was pressed."""
        is_idle = self.clock.monotonic() - self._keyed_at > PAUSE_AFTER_S
        self._keyed_at = self.clock.monotonic()
        if is_idle and self.schedule is not None and self.schedule.is_paused:
            self.set_paused(False)

    # ------------------------------------------------------------ messages
    def on_kernel_taken(self, message: KernelTaken) -> None:
        if self.schedule is not None:
            self.schedule.take_look(message)
            self._watch_requests(self.schedule)

    def on_source_taken(self, message: SourceTaken) -> None:
        if self.schedule is not None:
            self.schedule.take_answer(message)
            self.refresh_bars()

    def on_inventory_taken(self, message: InventoryTaken) -> None:
        if self.schedule is not None:
            self.schedule.take_inventory(message)
        self._prepared = message.prepared
        if message.prepared is not None and message.prepared.tree is not None:
            self._tree, self._tree_of = message.prepared.tree, message.inventory
        self.inventory = message.inventory

    def on_work_failed(self, message: WorkFailed) -> None:
        self.log_book.failed(f"{message.what} failed", message.error)
        if self.schedule is not None:
            self.schedule.take_failure(message)
        self.tell(f"{message.what}: a bug of rtscope, see {self.log_book.path}", is_wrong=True)

    def on_resize(self, event: events.Resize) -> None:
        self.query_one("#body").set_class(event.size.width >= _BESIDE, "-beside")


class Clock:
    """Time, so that tests can hold it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def cpu(self) -> float:
        """CPU time of the calling thread."""
        return time.thread_time()
