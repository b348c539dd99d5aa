"""What stdout and stderr are, and writing to them: stdout is data, stderr is talk."""

import contextlib
import os
import sys

from rtscope.render.text import Paper

_UTF8 = ("utf-8", "utf8")


def say(line: str) -> None:
    """One line on stderr; a closed stderr changes nothing. The text must be harmless already."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def note(line: str) -> None:
    """A note beside the data."""
    say(f"note: {line}")


def write(text: str) -> None:
    """Data on stdout, in one piece."""
    sys.stdout.write(text)
    sys.stdout.flush()


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    try:
        return sys.stdout.isatty()
    except ValueError:
        return False


def paper_of(color: str, *, is_full: bool) -> Paper:
    """What a table is drawn on: a terminal of some width, or a pipe that gets everything."""
    return Paper(
        columns=columns(),
        is_colour=_has_colour(color),
        is_unicode=can_unicode(),
        is_full=is_full,
    )


def columns() -> int | None:
    """Cells of the terminal's line; None where stdout is no terminal."""
    if not is_terminal():
        return None
    text = os.environ.get("COLUMNS", "")
    if text.isdecimal() and int(text) > 0:
        return int(text)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def lines() -> int:
    """Lines of the terminal."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or 24
    except (OSError, ValueError):
        return 24


def _has_colour(color: str) -> bool:
    if color != "auto":
        return color == "always"
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"


def can_unicode() -> bool:
    """Whether the user's locale says UTF-8.

    Python itself sets LC_CTYPE to C.UTF-8 where the locale is C (PEP 538): that is no statement
    of the user's.
    """
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    if encoding not in _UTF8:
        return False
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = os.environ.get(name, "")
        if not value or (name == "LC_CTYPE" and value == "C.UTF-8"):
            continue
        return any(word in value.lower() for word in _UTF8)
    return False
