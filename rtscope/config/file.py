"""Configuration files: `/etc/rtscope.toml`, then the user's `rtscope/rtscope.toml`.

Every key, with what it takes:

    timeout = "5s"                  # limit of a reading verb; the others scale with it
    engines = ["docker", "cri"]     # ask only these; --all-runtimes asks all
    columns = ["id", "name"]        # what `ps` shows
    color = "auto"                  # auto, always, never
    nested = false                  # ask engines inside containers, too
    read_only = false               # no verb that changes anything; true in root's file is final

    [sockets]                       # beside those that are found: KIND = path or paths
    docker = ["/srv/docker/docker.sock"]

    [roots]                         # state directories: oci, docker, podman, kubelet
    oci = ["/srv/runc"]

    [tui]
    refresh = 2.0                   # seconds
    theme = "textual-dark"

    [tui.keys]                      # ACTION = key
    filter = "slash"
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import Any

from rtscope.config.deadlines import LONGEST_TIMEOUT_S
from rtscope.config.durations import parse_duration
from rtscope.config.env import is_roots
from rtscope.errors import UsageError
from rtscope.model.facts import fact, field

SYSTEM_FILE = "/etc/rtscope.toml"
_MAX_BYTES = 1 << 20
_COLORS = ("auto", "always", "never")
_MIN_REFRESH_S = 0.5


@fact
class ConfigFile:
    """A file that was read.

    Attributes:
        values: Dotted key -> checked value: `sockets.docker`, `tui.refresh`.
        lines: Dotted key -> the line it stands in, for a message that helps.
    """

    path: str
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)


class _WrongValueError(ValueError):
    """A value of the wrong kind; the text says what it should be."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _WrongValueError("a string")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(e, str) and e for e in entries):
        raise _WrongValueError("a string or a list of strings")
    return tuple(entries)


def _paths(value: Any) -> tuple[str, ...]:
    entries = _texts(value)
    if not all(entry.removeprefix("unix://").startswith("/") for entry in entries):
        raise _WrongValueError("an absolute path or a list of them")
    return entries


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError("true or false")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _WrongValueError('seconds, or a duration such as "5s"')
    try:
        seconds = parse_duration(str(value))
    except UsageError as error:
        raise _WrongValueError('seconds, or a duration such as "5s"') from error
    if seconds <= 0:
        raise _WrongValueError("more than 0")
    if seconds > LONGEST_TIMEOUT_S:
        raise _WrongValueError("at most a day")
    return seconds


def _refresh(value: Any) -> float:
    seconds = _seconds(value)
    if seconds < _MIN_REFRESH_S:
        raise _WrongValueError(f"at least {_MIN_REFRESH_S:g} seconds")
    return seconds


def _color(value: Any) -> str:
    if value not in _COLORS:
        raise _WrongValueError(f"one of {', '.join(_COLORS)}")
    return str(value)


KEYS: Mapping[str, Callable[[Any], Any]] = {
    "timeout": _seconds,
    "engines": _texts,
    "columns": _texts,
    "color": _color,
    "nested": _flag,
    "read_only": _flag,
    "sockets.*": _paths,
    "roots.*": _paths,
    "tui.refresh": _refresh,
    "tui.theme": _text,
    "tui.keys.*": _text,
}
"""Every key that a file may hold; `*` stands for any name."""

_TABLES = frozenset({"sockets", "roots", "tui", "tui.keys"})


def read_config(path: str, *, must_be_roots: bool = False) -> ConfigFile | None:
    """One file, checked; None if there is none.

    Raises:
        UsageError: it cannot be read or understood; the message names file, line and key.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        # HOME may still be another user's: in a container that runs as nobody, below setpriv.
        if not must_be_roots and not os.access(os.path.dirname(path), os.X_OK):
            return None
        raise UsageError(f"configuration {path}: permission denied", f"ls -l {path}") from error
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError(f"configuration {path}: {why}", f"ls -l {path}") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(f"configuration {path}: not a regular file", f"ls -l {path}")
        is_safe = not must_be_roots or is_roots(fd)
        content = os.read(fd, _MAX_BYTES)
    finally:
        os.close(fd)
    if not is_safe:
        raise UsageError(
            f"configuration {path}: others than root can write it",
            f"chown root {path}; chmod go-w {path}",
        )
    return parse_config(path, content)


def parse_config(path: str, content: bytes) -> ConfigFile:
    """The content of a file, checked key by key.

    Raises:
        UsageError: it is not TOML, a key is unknown, or a value is of the wrong kind.
    """
    import tomllib

    try:
        text = content.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"configuration {path}: not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of 5,000 digits is a ValueError of int().
        why = str(error)[:1].lower() + str(error)[1:]
        raise UsageError(f"configuration {path}: {why}", f"edit {path}") from error
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in _leaves(document):
        line = _line_of(text, key)
        where = f"configuration {path}, line {line}: {key}" if line else f"{path}: {key}"
        check = _check_of(key)
        if check is None:
            known = ", ".join(sorted(KEYS))
            raise UsageError(f"{where}: no such key", f"known: {known}")
        try:
            values[key] = check(value)
        except _WrongValueError as error:
            raise UsageError(f"{where}: must be {error}", f"edit {path}") from error
        lines[key] = line
    return ConfigFile(path=path, values=values, lines=lines)


def _leaves(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        key = f"{prefix}{name}"
        if key in _TABLES and isinstance(value, dict):
            found.extend(_leaves(value, f"{key}."))
        else:
            found.append((key, value))
    return found


def _check_of(key: str) -> Callable[[Any], Any] | None:
    if key in KEYS:
        return KEYS[key]
    table, _, name = key.rpartition(".")
    return KEYS.get(f"{table}.*") if table and name else None


def _line_of(text: str, key: str) -> int:
    """The line that sets a key, 0 where it is written in a way that this does not find."""
    table, _, name = key.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([\w.\"-]+)\s*\]", line)
        if header is not None:
            current = header[1].replace('"', "")
            continue
        left = line.partition("=")[0].strip().replace('"', "")
        if left and (left == key or (current == table and left == name)):
            return number
    return 0
