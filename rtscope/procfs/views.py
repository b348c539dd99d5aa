"""Paths of processes that have mounts of their own: where the node finds the same file."""

from collections.abc import Mapping

from rtscope.procfs import detail
from rtscope.procfs.host import Host
from rtscope.procfs.table import Row

_PATH_OPTIONS = frozenset({"root", "state", "exec_root", "run_root", "address", "containerd"})


class Views:
    """How daemons and shims see the files, and what the node calls what they see."""

    def __init__(self, host: Host, mount_namespace: int | None) -> None:
        self._host = host
        self._mount_namespace = mount_namespace

    def is_own(self, row: Row) -> bool:
        """Whether a process has mounts of its own; of one stuck in the kernel nobody asks."""
        own = detail.namespace_of(self._host.proc, row.pid, "mnt")
        return own is not None and own != self._mount_namespace and not row.is_in_kernel

    def of(self, row: Row) -> Host:
        """The files as a process sees them."""
        return self._host.in_container(row.pid) if self.is_own(row) else self._host

    def outside(self, row: Row, path: str) -> str:
        """A path of a process as the node reaches it.

        A service with a private /tmp shares the rest with the node; a rootless engine has a /run
        of its own, whose files are reached through its root.
        """
        inside = f"/proc/{row.pid}/root{path}"
        there = self._file(inside)
        return path if there is None or there == self._file(path) else inside

    def options_outside(self, row: Row, options: Mapping[str, str]) -> Mapping[str, str]:
        """A daemon's options with the paths that the node reaches."""
        return {
            name: self.outside(row, value)
            if name in _PATH_OPTIONS and value.startswith("/")
            else value
            for name, value in options.items()
        }

    def _file(self, path: str) -> tuple[int, int] | None:
        try:
            status = self._host.stat(path)
        except OSError:
            return None
        return status.st_dev, status.st_ino
