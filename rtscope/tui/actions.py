"""What keys and commands do."""

import threading
from collections.abc import Callable, Mapping
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.screen import Screen

from rtscope.errors import RtscopeError
from rtscope.model.facts import replace
from rtscope.model.inventory import Container
from rtscope.tui.commands import Palette, completions, run_command, shell_line
from rtscope.tui.documents import Wanted, clean_document
from rtscope.tui.keys import (
    ANYWHERE,
    DETAIL,
    LIST,
    RAW,
    bindings,
    where_of,
)
from rtscope.tui.live import NodeSource
from rtscope.tui.messages import DocumentTaken
from rtscope.tui.screens.help import HelpScreen
from rtscope.tui.typed import Typed
from rtscope.tui.views.containers import marked_or_selected
from rtscope.tui.views.detail import Detail
from rtscope.tui.views.registry import VIEWS
from rtscope.tui.views.sources import SourcesView
from rtscope.tui.views.tree import TreeView
from rtscope.tui.widgets.rows import Rows

_IN_HELP = frozenset({"move", "page", "edge", "slide", "go_back", "leave", "help", "interrupt"})
_NEVER_TYPED = frozenset({"ctrl+z", "ctrl+q"})
_FULL_BELOW = 30
"""Lines of the terminal below which the detail takes the whole screen."""

_FACTS: Mapping[str, Callable[[Container], str | None]] = {
    "id": lambda c: c.id,
    "name": lambda c: c.name or c.id,
    "pid": lambda c: None if c.pid is None else str(c.pid),
    "command": lambda c: c.command,
}


class Actions(Typed, inherit_bindings=False):
    """The board with its keys.

    Attributes:
        choice: Keys that mean something once: what they do.
        source: Where raw documents come from.
        place: Flags that name a recording, for the command line of what is on screen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    COMMANDS: ClassVar[set[type[Palette]]] = {Palette}  # type: ignore[assignment]  # narrower
    COMMAND_PALETTE_BINDING = "ctrl+p"
    choice: Mapping[str, Callable[[], None]] | None = None
    source: NodeSource | None = None
    place: tuple[str, ...] = ()
    is_mouse_on = True

    # ------------------------------------------------------------ keys in their order
    async def on_event(self, event: events.Event) -> None:
        """Keys reach the prompt or an open choice here, before anything else can take them."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            self.keyed()
            is_typed = self.prompt.is_open and event.key not in _NEVER_TYPED
            if is_typed and not self.screen.is_modal:
                self.prompt.feed(event)
                self.footer.set_class(self.prompt.is_open, "-hidden")
                return
            if self.choice is not None:
                self._choose(event.key)
                return
        if isinstance(event, events.Paste) and self.prompt.is_open:
            self.prompt.insert(event.text)
            return
        await super().on_event(event)

    def _choose(self, key: str) -> None:
        choice, self.choice, self.told = self.choice, None, None
        if choice is not None and key in choice:
            choice[key]()
        self.footer.redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether it holds in the part of the screen that has the focus."""
        screen: Screen[object] = self.screen
        if screen.is_modal:
            return isinstance(screen, HelpScreen) and action in _IN_HELP
        places = where_of(action)
        return bool(places & self.here()) if places else True

    def here(self) -> frozenset[str]:
        if self.is_detail_open and self.detail.rows.has_focus:
            return frozenset({ANYWHERE, LIST, DETAIL, RAW})
        here = {ANYWHERE, LIST, self.view.where}
        return frozenset(here | {DETAIL} if self.is_detail_open else here)

    @property
    def active_rows(self) -> Rows:
        """The list that the cursor keys move in."""
        if isinstance(self.screen, HelpScreen):
            return self.screen.rows
        return self.detail.rows if self.is_in_detail else self.view.rows

    # ------------------------------------------------------------ moving
    def action_move(self, step: int) -> None:
        self.active_rows.move(step)

    def action_page(self, step: int) -> None:
        self.active_rows.page(step)

    def action_edge(self, side: int) -> None:
        rows = self.active_rows
        rows.move_to(0 if side < 0 else len(rows.keys) - 1)

    def action_slide(self, step: int) -> None:
        self.active_rows.slide(step)

    def action_unfold(self, is_open: bool) -> None:
        if isinstance(self.view, TreeView):
            self.view.unfold(is_open)

    def action_mark(self) -> None:
        if self.is_in_detail:
            self.detail.fold()
        elif self.view is self.containers:
            self.containers.mark()
            self.title_bar.redraw()

    def action_unmark(self) -> None:
        self.containers.unmark()
        self.title_bar.redraw()

    def on_rows_moved(self, event: Rows.Moved) -> None:
        if event.rows is self.view.rows:
            self.follow()

    async def on_rows_opened(self, event: Rows.Opened) -> None:
        if event.rows in (self.view.rows, self.detail.rows):
            self.action_open()

    # ------------------------------------------------------------ views and detail
    def action_view(self, number: int) -> None:
        if not 1 <= number <= len(VIEWS):
            return
        selected = self.view.selected()
        before, self.view_number = self.view, number
        before.remove_class("-shown")
        self.view.add_class("-shown")
        self._grow_tree()
        self.view.take(self.picture())
        if selected is not None and before is not self.view:
            self.view.select(selected)
        if self.is_detail_open and self.has_class("-full-detail"):
            self.close_detail()
        if not self.is_detail_open:
            self.screen.set_focus(self.view.rows)
        self.follow()
        self.refresh_bars()

    def action_open(self) -> None:
        if self.is_in_detail:
            self.detail.fold()
            return
        wanted, _, key = self.view.open().partition(" ")
        if wanted == "detail":
            self.open_detail(None)
        elif wanted == "source":
            self.action_view(next(n for n, v in enumerate(self.views, 1) if v.id == "sources"))
            self.view.rows.move_to_key(key)
        self.refresh_bars()

    def open_detail(self, tab: int | None) -> None:
        """The detail of the selection, with the focus in it."""
        if not self._has_selection():
            self.tell("nothing is selected", is_wrong=True)
            return
        self.detail.add_class("-open")
        self._size_detail()
        self._look()
        if tab is not None:
            self.detail.show_tab(tab)
        self.screen.set_focus(self.detail.rows)
        self.refresh_bars()

    def _has_selection(self) -> bool:
        return self.view.selected() is not None or isinstance(self.view, SourcesView)

    def _size_detail(self) -> None:
        is_full = self.remembered.is_full or self.size.height < _FULL_BELOW
        self.query_one("#body").set_class(is_full and self.is_detail_open, "-full")
        self.set_class(is_full, "-full-detail")

    def _look(self) -> None:
        view = self.view
        if isinstance(view, SourcesView):
            found = view.source()
            self.detail.look_at(
                self.picture(), None, None if found is None else found.endpoint.source
            )
        elif view.selected() is not None:
            self.detail.look_at(self.picture(), view.selected(), None)

    def follow(self) -> None:
        if self.is_detail_open and not self.detail.rows.has_focus:
            self._look()

    def close_detail(self) -> None:
        self.detail.remove_class("-open")
        self.query_one("#body").remove_class("-full")
        self.screen.set_focus(self.view.rows)

    def action_detail(self) -> None:
        if self.is_detail_open:
            self.close_detail()
        else:
            self.open_detail(None)

    def action_fullscreen(self) -> None:
        is_full = not self.query_one("#body").has_class("-full")
        self.remembered = replace(self.remembered, is_full=is_full)
        self.query_one("#body").set_class(is_full, "-full")
        self.set_class(is_full, "-full-detail")
        if is_full:
            self.screen.set_focus(self.detail.rows)

    def action_panel(self) -> None:
        if not self.is_detail_open:
            self.open_detail(None)
        elif self.is_in_detail and not self.query_one("#body").has_class("-full"):
            self.screen.set_focus(self.view.rows)
        else:
            self.screen.set_focus(self.detail.rows)

    def action_tab(self, step: int) -> None:
        self.detail.turn(step)

    def action_go_back(self) -> None:
        """Escape: close what is open, then the filter."""
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        elif self.is_detail_open:
            self.close_detail()
        elif self.view.filter_text():
            self.view.filter("")
        elif self.view is self.containers and self.containers.marks:
            self.containers.unmark()
        self.refresh_bars()

    def action_leave(self) -> None:
        """`q`: back where something is open, else quit."""
        if isinstance(self.screen, HelpScreen) or self.is_detail_open:
            self.action_go_back()
        else:
            self.leave()

    def leave(self) -> None:
        self.exit(0)

    def action_interrupt(self) -> None:
        self.exit(130)

    def action_command(self) -> None:
        self.prompt.open(
            ":",
            help_text="a command; Tab completes, Esc leaves",
            on_done=lambda text: run_command(self, text),
            complete=lambda text: completions(self, text),
        )
        self.footer.add_class("-hidden")

    def action_sort(self, key: str) -> None:
        self.containers.sort_by(key)
        self.refresh_bars()

    def action_group(self) -> None:
        self.containers.group_next()
        self.refresh_bars()

    def action_toggle_all(self) -> None:
        self.containers.toggle_all()
        self.refresh_bars()

    # ------------------------------------------------------------ copy and tell
    def action_copy(self) -> None:
        self.choice = {
            "i": lambda: self.copy_fact("id"),
            "n": lambda: self.copy_fact("name"),
            "p": lambda: self.copy_fact("pid"),
            "c": lambda: self.copy_fact("command"),
        }
        self.tell("copy: i id   n name   p pid   c command   Esc nothing")

    def copy_fact(self, name: str) -> None:
        """To the terminal's clipboard, of every marked row or of the selection."""
        read = _FACTS.get(name or "id")
        found = self._chosen_containers()
        values = [] if read is None else [value for value in map(read, found) if value]
        if not values:
            self.tell(f"no {name or 'id'} to copy here", is_wrong=True)
            return
        self.copy_to_clipboard("\n".join(values))
        more = f" and {len(values) - 1} more" if len(values) > 1 else ""
        self.tell(f"copied {name}: {values[0]}{more}")

    def _chosen_containers(self) -> list[Container]:
        if self.view is self.containers and not self.is_in_detail:
            return [shown.container for shown in marked_or_selected(self.containers)]
        key = self.detail.key if self.is_in_detail else self.view.selected()
        container = self.picture().container(key)
        return [] if container is None else [container]

    def action_equivalent(self) -> None:
        words = ["rtscope", *self._verb()]
        line = shell_line([words[0], *self.place, *words[1:]] if self.place else words)
        self.copy_to_clipboard(line)
        self.tell(f"{line}   (copied)")

    def _verb(self) -> list[str]:
        container = self.picture().container(self.detail.key) if self.is_detail_open else None
        if container is not None:
            return ["tree", container.id]
        return self.view.command_line()

    # ------------------------------------------------------------ the rest
    def action_help(self) -> None:
        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        else:
            self.push_screen(HelpScreen(self.keymap, self.paints))

    def action_pause(self) -> None:
        if self.schedule is None:
            self.tell("a recording stands still anyway")
        else:
            self.set_paused(not self.schedule.is_paused)

    def action_refresh_now(self) -> None:
        if self.schedule is not None and not self.schedule.is_paused:
            self.schedule.hurry()
            self.tell("looking again")

    def action_mouse(self) -> None:
        self.is_mouse_on = not self.is_mouse_on
        switch = "_enable_mouse_support" if self.is_mouse_on else "_disable_mouse_support"
        turn = getattr(self._driver, switch, None)
        if turn is not None:
            turn()
        self.remembered = replace(self.remembered, has_mouse=self.is_mouse_on)
        self.tell(
            "the mouse is rtscope's: click, scroll" if self.is_mouse_on
            else "the mouse is the terminal's: select text with it"
        )  # fmt: skip

    def action_match(self, step: int) -> None:
        count = self.detail.match(step)
        if not count:
            self.tell("no match; / searches", is_wrong=True)

    # ------------------------------------------------------------ raw documents
    def on_detail_documents_wanted(self, event: Detail.DocumentsWanted) -> None:
        """One thread a document, each under the backend's deadline."""
        schedule, source = self.schedule, self.source
        for number, wanted in enumerate(event.wanted):
            if wanted.trouble is not None:
                continue
            name = f"{number} {wanted.name}"
            if schedule is None or source is None:
                self.detail.take_document(
                    DocumentTaken(event.key, name, None, 0, "a recording holds no raw documents")
                )
            else:
                self._fetch(event.key, name, wanted)

    def _fetch(self, key: str, name: str, wanted: Wanted) -> None:
        schedule, source = self.schedule, self.source
        assert schedule is not None
        assert source is not None
        kernel = schedule.kernel

        def work() -> None:
            message = DocumentTaken(key, name, None, 0, "")
            try:
                assert kernel is not None
                raw = source.document(wanted.endpoint, wanted.ref, kernel)
                message.document, message.removed = clean_document(raw)
            except RtscopeError as error:
                message.error = error.message
            except Exception as error:  # noqa: BLE001  # a plug-in's mistake; the log has it
                self.log_book.failed(f"document of {wanted.name}", error)
                message.error = f"could not be read: {type(error).__name__}"
            schedule.post(message)

        threading.Thread(target=work, daemon=True, name=f"document {name}").start()

    def on_document_taken(self, message: DocumentTaken) -> None:
        self.detail.take_document(message)
