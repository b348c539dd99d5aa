"""What one scan asks of the same process more than once, read once."""

import os

from rtscope.procfs import detail
from rtscope.procfs.files import slurp
from rtscope.procfs.host import Host
from rtscope.procfs.table import Row

_SHORT = 8 << 10
"""Characters of arguments that are kept whole wherever they are kept."""


class Reads:
    """Answers about processes, kept for one scan; a pid is one process as long as that takes."""

    __slots__ = ("_arguments", "_contents", "_namespaces", "_proc", "_uids")

    def __init__(self, host: Host) -> None:
        self._proc = host.proc
        self._contents: dict[int, bytes] = {}
        self._uids: dict[int, int | None] = {}
        self._arguments: dict[int, tuple[str, ...] | None] = {}
        self._namespaces: dict[tuple[int, str], int | None] = {}

    def cgroup(self, pid: int) -> bytes:
        """The content of /proc/PID/cgroup."""
        content = self._contents.get(pid)
        if content is None:
            content = self._contents[pid] = slurp(f"{self._proc}/{pid}/cgroup")
        return content

    def uid(self, pid: int) -> int | None:
        """Its effective user."""
        if pid not in self._uids:
            self._uids[pid] = detail.uid_of(self._proc, pid)
        return self._uids[pid]

    def namespace(self, pid: int, kind: str) -> int | None:
        """Inode of one of its namespaces."""
        key = (pid, kind)
        if key not in self._namespaces:
            self._namespaces[key] = detail.namespace_of(self._proc, pid, kind)
        return self._namespaces[key]

    def first_namespace(self, kind: str) -> int | None:
        """The node's own namespace: pid 1's, or ours where its may not be seen and is the same."""
        first = self.namespace(1, kind)
        return first if first is not None else self.namespace(os.getpid(), kind)

    def is_pretending(self, pid: int) -> bool:
        """Whether a user runs it in the node's user namespace, where no engine works for users.

        A rootless engine, its shims and its monitors live in a user namespace of their own.
        Source: podman(1), "Rootless mode"; rootlesskit(1).
        """
        if not self.uid(pid):
            return False
        own = self.namespace(pid, "user")
        return own is not None and own == self.first_namespace("user")

    def arguments(self, row: Row) -> tuple[str, ...] | None:
        """Arguments of a daemon or a monitor, to their end."""
        if row.pid not in self._arguments:
            self._arguments[row.pid] = detail.arguments_of(self._proc, row)
        return self._arguments[row.pid]

    def cmdline(self, row: Row) -> tuple[str, ...] | None:
        """Arguments as every process has them in the inventory; cut off if they are very long."""
        known = self._arguments.get(row.pid)
        if known and sum(map(len, known)) < _SHORT:
            return known
        return detail.cmdline_of(self._proc, row)
