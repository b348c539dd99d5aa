"""The app: starts, ends, and brings the terminal back whatever happens."""

import contextlib
import gc
import os
import sys
from collections.abc import Mapping
from typing import Any

from textual.app import App

from rtscope.config.deadlines import REFRESH_S
from rtscope.config.settings import Settings
from rtscope.correlate.join import join
from rtscope.errors import ExitCode, UsageError
from rtscope.model.facts import replace
from rtscope.model.inventory import Inventory
from rtscope.model.observation import Observation
from rtscope.tui.actions import Actions
from rtscope.tui.board import FIRST_RUN, TICK_S, Clock
from rtscope.tui.ending import listen_to_signals, say_crash
from rtscope.tui.keys import keymap_of
from rtscope.tui.layout import Layout, layout_file, load_layout, save_layout
from rtscope.tui.live import LiveNode, NodeSource
from rtscope.tui.log import Log, state_file
from rtscope.tui.messages import InventoryTaken
from rtscope.tui.schedule import Schedule
from rtscope.tui.themes import DEFAULT_THEME
from rtscope.tui.views.registry import VIEWS

_SWITCH_S = 0.001
"""A key waits this long at most for a thread that computes. Source: sys.setswitchinterval."""


class RtscopeApp(Actions):
    """One node, live or recorded."""

    def __init__(
        self,
        source: NodeSource | None,
        *,
        log: Log,
        layout: Layout,
        inventory: Inventory | None = None,
        mode: str = "live",
        is_read_only: bool = False,
        refresh_s: float = REFRESH_S,
        theme: str | None = None,
        keymap: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(log=log, layout=layout, clock=clock)
        self.source = source
        self.mode = mode
        self.is_read_only = is_read_only
        self.keymap = keymap or {}
        self.crash: BaseException | None = None
        self._recorded = inventory
        self._wanted_theme = theme
        if source is not None and inventory is None:
            self.schedule = Schedule(
                source,
                self._post_safely,
                refresh_s=refresh_s,
                clock=self.clock.monotonic,
                cpu=self.clock.cpu,
                prepare=self.prepare,
            )

    def _post_safely(self, message: Any) -> None:
        """From any thread, at any time: after the end nobody listens."""
        with contextlib.suppress(RuntimeError):
            self.post_message(message)

    def on_mount(self) -> None:
        self.set_keymap(dict(self.keymap))
        self.theme = self._first_theme()
        for view in self.views:
            view.restore(self.remembered)
        names = [entry.name for entry in VIEWS]
        if self.remembered.view in names:
            self.view_number = names.index(self.remembered.view) + 1
        self.view.add_class("-shown")
        self.screen.set_focus(self.view.rows)
        self.repaint()
        if not self.remembered.is_seen:
            self.tell(FIRST_RUN)
        if not self.is_headless:
            listen_to_signals(self)
        if self._recorded is not None:
            self.post_message(InventoryTaken(self._recorded, 0.0))
        elif self.schedule is not None:
            self.schedule.tick()
        self.set_interval(TICK_S, self.tick)
        self.app_resume_signal.subscribe(self, self._on_app_resume)

    def _first_theme(self) -> str:
        """What was configured, what was chosen last, or what the terminal can show."""
        usual = self.usual_theme()
        if self.no_color:
            return usual
        if self._wanted_theme in self.available_themes:
            return self._wanted_theme or usual
        last = self.remembered.theme
        return last if last in self.available_themes and usual == DEFAULT_THEME else usual

    # ------------------------------------------------------------ the end
    def _handle_exception(self, error: Exception) -> None:
        """A mistake of ours: into the log; the terminal is given back, one line follows."""
        self.crash = error
        self.log_book.failed("the view ended", error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """No traceback on the screen: the log has it."""
        self._close_messages_no_wait()

    def layout_now(self) -> Layout:
        """What the next run is to remember."""
        layout = replace(self.remembered, view=VIEWS[self.view_number - 1].name, is_seen=True)
        for view in self.views:
            layout = view.remember(layout)
        return layout

    def action_suspend_process(self) -> None:
        """To the background: nothing is asked while nobody looks."""
        if self.schedule is not None:
            self.schedule.is_paused = True
        super().action_suspend_process()

    def _on_app_resume(self, _app: App[Any]) -> None:
        self.set_paused(False)


def run(
    settings: Settings,
    *,
    recording: tuple[Observation, ...] | None = None,
    recorded_from: str | None = None,
    is_demo: bool = False,
    is_read_only: bool = False,
    log_file: str | None = None,
    refresh_s: float | None = None,
    theme: str | None = None,
    keys: Mapping[str, str] | None = None,
) -> int:
    """Shows the node, or a recording, until the user leaves; returns the exit code.

    Raises:
        UsageError: a key of the configuration names no action; the recording is empty.
    """
    log = Log(log_file or state_file(os.environ))
    place = layout_file(os.environ)
    layout = load_layout(place)
    keymap = keymap_of(keys or {})
    app = RtscopeApp(
        None if recording is not None else LiveNode(settings),
        log=log,
        layout=layout,
        inventory=None if recording is None else _recorded(recording, is_demo),
        mode=_mode(recorded_from, is_demo),
        is_read_only=is_read_only,
        refresh_s=refresh_s or REFRESH_S,
        theme=theme,
        keymap=keymap,
    )
    if recording is not None:
        app.place = ("--demo",) if is_demo else ("--from", recorded_from or "-")
    sys.setswitchinterval(_SWITCH_S)
    # Facts hold no cycles: collecting thousands of them again and again would only delay keys.
    gc.set_threshold(20_000, 20, 100)
    code = app.run(mouse=layout.has_mouse)
    if not is_read_only:
        save_layout(place, app.layout_now())
    if app.crash is not None:
        say_crash(app.crash, log.path)
        return ExitCode.INTERNAL
    return ExitCode.OK if code is None else code


def _mode(recorded_from: str | None, is_demo: bool) -> str:
    if is_demo:
        return "demo"
    return "live" if recorded_from is None else f"replay {os.path.basename(recorded_from)}"


def _recorded(observations: tuple[Observation, ...], is_demo: bool) -> Inventory:
    if not observations:
        raise UsageError("recording: it holds no observation")
    at = max(observation.taken_at for observation in observations)
    return replace(join(observations), recorded_at=at, is_demo=is_demo)
