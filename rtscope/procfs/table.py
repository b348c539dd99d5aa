"""The table of all processes, from /proc/PID/stat alone.

Five thousand processes are read in the time that opening their files takes: a row keeps the bytes
and is taken apart where somebody asks.
"""

import os
from collections.abc import Collection, Iterator, Mapping

from rtscope.model.refs import ProcessKey

_STAT_BYTES = 1024
_START_FIELD = 19
"""Field 22 of proc_pid_stat(5), counted from the state."""

KTHREADD = 2


class Row:
    """One process as /proc/PID/stat shows it.

    Attributes:
        comm: Raw: any bytes but NUL, at most 15 of them for a user's process.
        state: Letter of field 3.
        session: Field 6; equal to the pid for a session's leader.
    """

    __slots__ = ("_raw", "comm", "pid", "ppid", "session", "state")

    def __init__(self, pid: int, raw: bytes) -> None:
        end = raw.rfind(b")")
        fields = raw[end + 2 : end + 64].split(b" ", 4)
        self.pid = pid
        self.comm = raw[raw.find(b"(") + 1 : end]
        self.state = fields[0]
        self.ppid = int(fields[1])
        self.session = int(fields[3])
        self._raw = raw

    @property
    def key(self) -> ProcessKey:
        """Pid and start time."""
        fields = self._raw[self._raw.rfind(b")") + 2 :].split(b" ", _START_FIELD + 1)
        return ProcessKey(pid=self.pid, start=int(fields[_START_FIELD]))

    @property
    def is_in_kernel(self) -> bool:
        """In state D: nothing of it that takes the lock of its memory may be read."""
        return self.state == b"D"


def read_table(proc: str) -> dict[int, Row]:
    """Every process that was there; those that ended meanwhile are left out.

    Raises:
        OSError: /proc cannot be listed.
    """
    open_file, read, close = os.open, os.read, os.close
    rows: dict[int, Row] = {}
    for name in os.listdir(proc):
        if not "0" < name < ":":
            continue
        try:
            fd = open_file(f"{proc}/{name}/stat", 0)
        except OSError:
            continue
        try:
            raw = read(fd, _STAT_BYTES)
        except OSError:
            continue
        finally:
            close(fd)
        try:
            pid = int(name)
            rows[pid] = Row(pid, raw)
        except (ValueError, IndexError):
            continue
    return rows


def read_row(proc: str, pid: int) -> Row | None:
    """One process; None if it is not there."""
    try:
        fd = os.open(f"{proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return Row(pid, os.read(fd, _STAT_BYTES))
    except (OSError, ValueError, IndexError):
        return None
    finally:
        os.close(fd)


class Survey:
    """What one pass over all rows sorts out; kernel threads are left out.

    Attributes:
        children: Pid of a parent -> pids of its children.
        named: Rows whose name is one of those asked for.
        loners: Session leaders and children of pid 1: where a container's init may be.
    """

    __slots__ = ("children", "loners", "named")

    def __init__(self, rows: Mapping[int, Row], names: Collection[bytes]) -> None:
        self.children: dict[int, list[int]] = {}
        self.named: list[Row] = []
        self.loners: list[Row] = []
        children = self.children
        for row in rows.values():
            ppid = row.ppid
            if ppid == KTHREADD:
                continue
            if ppid in children:
                children[ppid].append(row.pid)
            else:
                children[ppid] = [row.pid]
            if row.comm in names:
                self.named.append(row)
            if row.session == row.pid or ppid == 1:
                self.loners.append(row)


def ancestors(rows: Mapping[int, Row], pid: int) -> Iterator[Row]:
    """Parents from the nearest up to pid 1, or to what cannot be seen."""
    seen = {pid}
    row = rows.get(pid)
    while row is not None and row.ppid not in seen:
        row = rows.get(row.ppid)
        if row is not None:
            seen.add(row.pid)
            yield row


def descendants(children: Mapping[int, list[int]], pid: int) -> Iterator[int]:
    """Every process below, parents before their children."""
    seen = {pid}
    todo = list(reversed(children.get(pid, ())))
    while todo:
        child = todo.pop()
        if child in seen:
            continue
        seen.add(child)
        yield child
        todo.extend(reversed(children.get(child, ())))
