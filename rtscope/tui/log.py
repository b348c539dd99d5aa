"""The view's log: where exceptions go, so that none reaches the screen.

The file appears with the first line, is readable by its owner alone and is rotated; a disk that is
full or read-only costs the lines, never the view.
"""

import contextlib
import logging
import os
import pwd
from collections.abc import Mapping
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import Any

MAX_BYTES = 1 << 20
KEPT = 3
_NAME = "rtscope.tui"


class PrivateFileHandler(RotatingFileHandler):
    """A rotating file of mode 0600 that is made when there is something to say."""

    def _open(self) -> TextIOWrapper:
        os.makedirs(os.path.dirname(self.baseFilename), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.baseFilename, flags, 0o600)
        return TextIOWrapper(os.fdopen(fd, "ab"), encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Nothing: the terminal belongs to the view."""


def state_file(environ: Mapping[str, str]) -> str:
    """Where the log is kept unless `--log-file` says otherwise.

    A home that belongs to another user, as under sudo, is not written into.
    """
    base = environ.get("XDG_STATE_HOME") or ""
    if not base.startswith("/"):
        base = os.path.join(own_home(environ), ".local", "state")
    return os.path.join(base, "rtscope", "rtscope.log")


def own_home(environ: Mapping[str, str]) -> str:
    """The home of the user that the process runs as."""
    uid = os.geteuid()
    home = environ.get("HOME", "")
    try:
        if home.startswith("/") and os.stat(home).st_uid == uid:
            return home
        return pwd.getpwuid(uid).pw_dir
    except (OSError, KeyError):
        return home if home.startswith("/") else "/nonexistent"


class Log:
    """A logger that writes into one file and nowhere else."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines = 0
        self._logger = logging.Logger(_NAME, logging.INFO)
        handler = PrivateFileHandler(
            path, maxBytes=MAX_BYTES, backupCount=KEPT, delay=True, encoding="utf-8"
        )
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._logger.addHandler(handler)
        self._handler = handler

    def note(self, message: str, *arguments: Any) -> None:
        self.lines += 1
        self._logger.info(message, *arguments)

    def failed(self, message: str, error: BaseException) -> None:
        """A traceback."""
        self.lines += 1
        self._logger.error(message, exc_info=(type(error), error, error.__traceback__))

    def close(self) -> None:
        self._handler.close()
