"""What is read of one process beyond its stat line, and when it may be read.

Of a process in state D the files that take the lock of its memory (cmdline, environ, exe, maps,
root) are left alone: the reader would wait with it.
"""

import os

from rtscope.procfs.files import link_of, slurp, slurp_words
from rtscope.procfs.table import Row

_DAEMON_CMDLINE_BYTES = 256 << 10
_CMDLINE_BYTES = 32 << 10
_DELETED = " (deleted)"


def cmdline_of(proc: str, row: Row, limit: int = _CMDLINE_BYTES) -> tuple[str, ...] | None:
    """Its arguments; None where they may not be read, empty for what has none."""
    if row.is_in_kernel:
        return None
    content = slurp_words(f"{proc}/{row.pid}/cmdline", limit)
    if not content:
        return ()
    words = content.removesuffix(b"\0").split(b"\0")
    return tuple(word.decode(errors="surrogateescape") for word in words)


def arguments_of(proc: str, row: Row) -> tuple[str, ...] | None:
    """The same for daemons and monitors, whose arguments are read to the end."""
    return cmdline_of(proc, row, _DAEMON_CMDLINE_BYTES)


def exe_of(proc: str, row: Row) -> str | None:
    """Path of its executable, without the mark of one that was replaced meanwhile."""
    if row.is_in_kernel:
        return None
    path = link_of(f"{proc}/{row.pid}/exe")
    return None if path is None else path.removesuffix(_DELETED)


def cwd_of(proc: str, row: Row) -> str | None:
    """Its working directory; the link needs no lock of its memory."""
    path = link_of(f"{proc}/{row.pid}/cwd")
    return None if path is None else path.removesuffix(_DELETED)


def uid_of(proc: str, pid: int) -> int | None:
    """Its effective user: the owner of its directory in procfs."""
    try:
        return os.stat(f"{proc}/{pid}").st_uid
    except OSError:
        return None


def ns_pids_of(proc: str, pid: int) -> tuple[int, ...]:
    """Its pids from the host's namespace inwards; empty if unreadable.

    Source: proc_pid_status(5), NSpid.
    """
    _, found, rest = slurp(f"{proc}/{pid}/status").partition(b"\nNSpid:")
    if not found:
        return ()
    return tuple(int(word) for word in rest.split(b"\n", 1)[0].split())


def namespace_of(proc: str, pid: int, kind: str) -> int | None:
    """Inode of one of its namespaces; None without the right to see it."""
    link = link_of(f"{proc}/{pid}/ns/{kind}")
    if link is None:
        return None
    digits = link.partition("[")[2].rstrip("]")
    return int(digits) if digits.isdigit() else None


def wchan_of(proc: str, row: Row) -> str | None:
    """The kernel function it waits in, for what is stopped or stuck; None for the rest."""
    if row.state not in (b"T", b"t", b"D"):
        return None
    name = slurp(f"{proc}/{row.pid}/wchan").decode(errors="replace").strip()
    return name if name not in ("", "0") else None
