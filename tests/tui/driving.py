"""Drives the view as a user does, and reads its screen as text."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from rtscope.model.inventory import Inventory
from rtscope.tui.app import RtscopeApp
from rtscope.tui.board import Clock
from rtscope.tui.layout import Layout
from rtscope.tui.live import NodeSource
from rtscope.tui.log import Log
from tests.generate import TAKEN_AT

PATIENCE_S = 60.0


class HeldClock(Clock):
    """Time that a test moves; nothing costs anything."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def cpu(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return TAKEN_AT.astimezone(UTC) + timedelta(seconds=self.seconds - 1000.0)


@asynccontextmanager
async def view(
    source: NodeSource | None = None,
    *,
    inventory: Inventory | None = None,
    size: tuple[int, int] = (120, 40),
    log: str = "/dev/null",
    layout: Layout | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Pilot[int], RtscopeApp]]:
    """A running view that has its first picture."""
    options.setdefault("clock", HeldClock())
    options.setdefault("theme", "rtscope-dark")
    app = RtscopeApp(
        source,
        log=Log(log),
        layout=layout or Layout(is_seen=True),
        inventory=inventory,
        mode="live" if inventory is None else "replay node.json",
        **options,
    )
    try:
        async with app.run_test(size=size) as pilot:
            await settled(pilot, app)
            await until(pilot, lambda: app.inventory is not None)
            yield pilot, app
    finally:
        app.log_book.close()


async def until(pilot: Pilot[int], is_so: Callable[[], bool]) -> None:
    """Waits for threads and messages, not for time."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, f"never happened; the screen:\n{screen(pilot.app)}"
        await pilot.pause(0.005)
    await pilot.pause()


async def settled(pilot: Pilot[int], app: RtscopeApp) -> None:
    """Until everything that was asked is joined; what waits for time gets some."""
    schedule, clock = app.schedule, app.clock
    if schedule is not None:
        end = time.monotonic() + PATIENCE_S
        while not schedule.is_settled:
            assert time.monotonic() < end, f"never settled; the screen:\n{screen(app)}"
            if not schedule.is_in_flight and isinstance(clock, HeldClock):
                clock.seconds += 0.25
                app.tick()
            await pilot.pause(0.005)
    await pilot.pause()


async def later(pilot: Pilot[int], app: RtscopeApp, seconds: float) -> None:
    """Lets the held clock go on, and what is due then happen."""
    assert isinstance(app.clock, HeldClock)
    app.clock.seconds += seconds
    app.tick()
    await settled(pilot, app)


def screen(app: Any) -> str:
    """What stands on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def line_with(app: Any, text: str) -> str:
    """The first line that holds it."""
    return next((line for line in screen(app).splitlines() if text in line), "")


def temporary_log(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "rtscope.log")
