"""Small reads of procfs and cgroupfs, where thousands of files are read in one listing."""

import os

_SMALL_BYTES = 8192


def slurp(path: str, limit: int = _SMALL_BYTES) -> bytes:
    """The beginning of a file of a kernel file system; empty if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, limit)
    except OSError:
        return b""
    finally:
        os.close(fd)


def slurp_all(path: str, limit: int) -> bytes:
    """The same for tables, which the kernel hands out in pieces."""
    return _read(path, limit, 1 << 16, ends_short=False)


def slurp_words(path: str, limit: int) -> bytes:
    """The same for a command line: a buffer that is not filled holds the end of it.

    Source: fs/proc/base.c, proc_pid_cmdline_read; every further read would cost as much again.
    """
    return _read(path, limit, 4096, ends_short=True)


def _read(path: str, limit: int, step: int, *, ends_short: bool) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts: list[bytes] = []
    size = 0
    try:
        while size < limit and (part := os.read(fd, min(step, limit - size))):
            parts.append(part)
            size += len(part)
            if ends_short and len(part) < step:
                break
    except OSError:
        pass
    finally:
        os.close(fd)
    return b"".join(parts)


def link_of(path: str) -> str | None:
    """Where a link of procfs leads; None if that may not be seen, or it is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return None
