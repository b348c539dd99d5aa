"""What the view remembers from one run to the next: view, order, grouping, columns, theme.

Kept in a file of its own beside the user's configuration, which is never rewritten. Where it cannot
be written (a read-only or full disk, another user's home), it lives as long as the run.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from rtscope.model.facts import fact, field_names
from rtscope.tui.log import own_home

_MAX_BYTES = 64 << 10


@fact
class Layout:
    """What is remembered.

    Attributes:
        sort: A column's key, `-` before it for the reverse; None is problems first.
        group: `engine`, `pod`, `project`, `namespace`; None for none.
        columns: Keys of the columns; None for the usual ones.
        is_full: The detail takes the whole screen.
        has_mouse: Whether the mouse is captured.
        is_seen: The first run's line was shown.
    """

    view: str = "containers"
    sort: str | None = None
    group: str | None = None
    columns: tuple[str, ...] | None = None
    is_all: bool = False
    theme: str | None = None
    is_full: bool = False
    has_mouse: bool = True
    is_seen: bool = False


def layout_file(environ: Mapping[str, str]) -> str | None:
    """The file, or None where no place is known that belongs to the user."""
    base = environ.get("XDG_CONFIG_HOME") or ""
    if not base.startswith("/"):
        base = os.path.join(own_home(environ), ".config")
    try:
        if os.path.exists(base) and os.stat(base).st_uid != os.geteuid():
            return None
    except OSError:
        return None
    return os.path.join(base, "rtscope", "layout.json")


def load_layout(path: str | None) -> Layout:
    """What was remembered; anything that does not fit is as if it were not there."""
    if path is None:
        return Layout()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(fd, "rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return Layout()
    if not isinstance(document, dict):
        return Layout()
    kept: dict[str, Any] = {}
    for name, default in ((name, getattr(Layout(), name)) for name in field_names(Layout)):
        value = document.get(name)
        if name == "columns" and isinstance(value, list) and all(isinstance(v, str) for v in value):
            kept[name] = tuple(value)
        elif name != "columns" and _fits(value, default):
            kept[name] = value
    return Layout(**kept)


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    return isinstance(value, str) and len(value) < 200


def save_layout(path: str | None, layout: Layout) -> bool:
    """Whether it could be written: complete or not at all."""
    if path is None:
        return False
    document = {name: getattr(layout, name) for name in field_names(Layout)}
    beside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        return False
    return True
