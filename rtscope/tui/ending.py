"""How the view ends when it does not end by itself: signals, and mistakes of ours."""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
from typing import Any

from textual.app import App

from rtscope.render.escape import visible

_GRACE_S = 2.0
"""A signalled view that has not ended by then is ended by force, terminal first."""

_LEAVE = b"\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1049l\x1b[?25h"


def listen_to_signals(app: App[int]) -> None:
    """SIGTERM and SIGHUP end it with the terminal as it was before."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _end, app, 128 + number)


def _end(app: App[int], code: int) -> None:
    """A terminal that is gone or stuck cannot hold it."""
    driver: Any = app._driver
    attributes = getattr(driver, "attrs_before", None)

    def force() -> None:
        with contextlib.suppress(OSError, ValueError, termios.error):
            if attributes is not None:
                termios.tcsetattr(0, termios.TCSANOW, attributes)
            os.set_blocking(2, False)
            os.write(2, _LEAVE)
        os._exit(code)

    timer = threading.Timer(_GRACE_S, force)
    timer.daemon = True
    timer.start()
    app.exit(code)


def say_crash(error: BaseException, log_path: str) -> None:
    """One line, after the terminal was given back."""
    what = visible(f"{type(error).__name__}: {error}")[:200]
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"rtscope: the view ended by a bug of its own: {what}; log: {log_path}\n")
