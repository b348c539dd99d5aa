"""`--watch`: the same reading again and again, redrawn in place or printed block by block."""

import gc
import time
from argparse import Namespace
from collections.abc import Callable

from rtscope.cli.terminal import is_terminal, lines, write
from rtscope.config.deadlines import LONGEST_TIMEOUT_S, WATCH_INTERVAL_S
from rtscope.config.durations import parse_duration
from rtscope.errors import UsageError

HOME = "\x1b[H"
ERASE_LINE = "\x1b[K"
ERASE_BELOW = "\x1b[J"
CLEAR = "\x1b[2J"
LEAST_INTERVAL_S = 0.2


def interval_s(args: Namespace) -> float:
    """Seconds between two readings.

    Raises:
        UsageError: it is no duration, or so short that reading would never end.
    """
    if args.interval is None:
        return WATCH_INTERVAL_S
    seconds = parse_duration(str(args.interval))
    if seconds < LEAST_INTERVAL_S:
        raise UsageError(f"--interval {args.interval}: at least {LEAST_INTERVAL_S:g} seconds")
    if seconds > LONGEST_TIMEOUT_S:
        raise UsageError(f"--interval {args.interval}: at most a day")
    return seconds


ROUNDS: int | None = None
"""How many rounds there are; None until a signal ends it."""


def watch(draw: Callable[[], str], seconds: float) -> None:
    """Draws until interrupted.

    Args:
        draw: Reads the node and returns the text of one round.
        seconds: From the beginning of one round to the next; a slow round delays the next one,
            so that never two are under way.
    """
    gc.enable()
    on_terminal = is_terminal()
    done = 0
    while True:
        started = time.monotonic()
        text = draw()
        if on_terminal:
            write(_frame(text, lines(), is_first=done == 0))
        else:
            write(text)
        done += 1
        if ROUNDS is not None and done >= ROUNDS:
            return
        time.sleep(max(0.0, started + seconds - time.monotonic()))


def _frame(text: str, height: int, *, is_first: bool) -> str:
    """One screen: written over the last one, so that nothing flickers."""
    shown = text.splitlines()
    if len(shown) > height - 1:
        left = len(shown) - (height - 2)
        shown = [*shown[: height - 2], f"({left} more lines)"]
    body = "".join(f"{line}{ERASE_LINE}\n" for line in shown)
    return (CLEAR if is_first else "") + HOME + body + ERASE_BELOW
