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
    """The same for files that the kernel hands out in pieces."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts: list[bytes] = []
    size = 0
    try:
        while size < limit and (part := os.read(fd, min(1 << 16, limit - size))):
            parts.append(part)
            size += len(part)
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
