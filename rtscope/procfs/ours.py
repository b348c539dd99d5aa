"""Files that nobody but root or the reader can exchange: opening them takes fewer steps.

Where another user may put something else in a file's place between a look and an open, the open has
to go through the look's own descriptor, at twice the price.
"""

import os
import stat
import time

_TTL_S = 5.0


class Ours:
    """Which directories only root and the reader may change, remembered for a while."""

    __slots__ = ("_known", "_since")

    def __init__(self) -> None:
        self._known: dict[str, bool] = {"": True}
        self._since = time.monotonic()

    def open(self, path: str) -> int | None:
        """A readable descriptor of a plain file; None for anything else, and elsewhere."""
        if not self._holds(path.rpartition("/")[0]):
            return None
        try:
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
                return None
            return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None

    def _holds(self, directory: str) -> bool:
        """Whether a directory is one, and all above it are."""
        if time.monotonic() - self._since > _TTL_S:
            self._known, self._since = {"": True}, time.monotonic()
        known = self._known.get(directory)
        if known is None:
            above, slash, _ = directory.rpartition("/")
            known = slash == "/" and self._holds(above) and _is_closed(directory)
            self._known[directory] = known
        return known


def _is_closed(directory: str) -> bool:
    """A real directory of root's or of the reader's, in which others exchange nothing.

    What lies in a sticky one is exchanged by its owner alone. Source: inode(7), S_ISVTX.
    """
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    is_shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    is_mine = status.st_uid in (0, os.geteuid())
    return stat.S_ISDIR(status.st_mode) and is_mine and not is_shared
