"""What conmon leaves of a container: a process, pid files and, at the end, an exit file."""

from datetime import UTC, datetime

from rtscope.backends.base import Targets
from rtscope.backends.liveness import Life, Liveness
from rtscope.backends.podman.store import exit_code_from, pid_from
from rtscope.model.facts import fact
from rtscope.model.records import Shim
from rtscope.procfs.files import slurp
from rtscope.procfs.table import read_row

_SMALL_BYTES = 4096
_RUN_ROOT = "/run/containers/storage"
_EXIT_DIRS = ("/run/libpod/exits", "/run/crio/exits")


@fact
class Ending:
    """How a container ended, as far as conmon's file says."""

    exit_code: int | None = None
    finished_at: datetime | None = None


class Monitors:
    """The conmons of one store, and the directories that their command lines name.

    Attributes:
        run_roots: Where the store keeps what a reboot may lose, the surest first.
    """

    def __init__(
        self, root: str, owner_uid: int | None, nested_in: int | None, targets: Targets
    ) -> None:
        self._host = targets.host
        self._kernel = targets.kernel
        self._nested_in = nested_in
        self._liveness = Liveness(targets, nested_in)
        self._prefix = "" if nested_in is None else f"/proc/{nested_in}/root"
        shims = () if targets.kernel is None else targets.kernel.shims
        inner = root.removeprefix(self._prefix)
        own = [s for s in shims if s.nested_in == nested_in and _is_of(s, inner)]
        self._by_id = {shim.id: shim for shim in own}
        run_roots = [shim.run_root for shim in own if shim.run_root]
        exit_dirs = [shim.exit_dir for shim in own if shim.exit_dir]
        if owner_uid:
            run_roots.append(f"/run/user/{owner_uid}/containers")
            exit_dirs.append(f"/run/user/{owner_uid}/libpod/tmp/exits")
        else:
            run_roots.append(_RUN_ROOT)
            exit_dirs.extend(_EXIT_DIRS)
        self.run_roots = tuple(f"{self._prefix}{path}" for path in dict.fromkeys(run_roots))
        self._exit_dirs = tuple(f"{self._prefix}{path}" for path in dict.fromkeys(exit_dirs))

    def of(self, container_id: str) -> Shim | None:
        """The conmon that lives for a container."""
        return self._by_id.get(container_id)

    def life(self, container_id: str, directory: str, pid_file: str | None) -> Life:
        """Whether its init lives.

        Args:
            container_id: Whose.
            directory: The store's own for it, relative to a run root.
            pid_file: Where the database says that its pid is.
        """
        shim = self.of(container_id)
        named = (pid_file, None if shim is None else shim.pid_file)
        paths = [f"{self._prefix}{path}" for path in named if path]
        paths.extend(f"{root}/{directory}/pidfile" for root in self.run_roots)
        for path in dict.fromkeys(paths):
            pid = pid_from(self._content(path))
            if pid is not None:
                return self._life_of(pid, container_id, path, shim)
        return self._life_without_file(container_id, directory)

    def is_waiting(self, container_id: str) -> bool | None:
        """Whether `start` has yet to come; None where nobody says which root the runtime has."""
        shim = self.of(container_id)
        if shim is None or not shim.oci_root:
            return None
        return self._host.exists(f"{self._prefix}{shim.oci_root}/{container_id}/exec.fifo")

    def ending(self, container_id: str) -> Ending:
        """What conmon wrote when the init ended; podman deletes it when it has taken note."""
        for path in self._ending_paths(container_id):
            code = exit_code_from(self._content(path))
            if code is not None:
                return Ending(exit_code=code, finished_at=self._changed_at(path))
        return Ending()

    def _ending_paths(self, container_id: str) -> list[str]:
        # Source: conmon, src/ctr_exit.c: --exit-dir/ID, and `exit` in --persist-dir.
        paths = []
        for directory in self._exit_dirs:
            paths.append(f"{directory}/{container_id}")
            beside = directory.rpartition("/")[0]
            paths.append(f"{beside}/persist/{container_id}/exit")
        return paths

    def _life_of(self, pid: int, container_id: str, path: str, shim: Shim | None) -> Life:
        """A pid file has no start time: the process must be conmon's child, or in the cgroup."""
        row = None if self._nested_in is not None else read_row(self._host.proc, pid)
        if row is None:
            return self._liveness.of(pid)
        monitor = pid_from(self._content(f"{path.rpartition('/')[0]}/conmon.pid"))
        parents = {monitor, shim.key.pid if shim is not None else None} - {None}
        if row.ppid not in parents:
            cgroup = slurp(f"{self._host.proc}/{pid}/cgroup")
            if container_id.encode() not in cgroup:
                return self._liveness.of(None)
        return self._liveness.of(pid, row.key.start)

    def _life_without_file(self, container_id: str, directory: str) -> Life:
        """The run root may be elsewhere: only the process scan can then say that nothing runs."""
        if self._kernel is None:
            is_known = any(self._host.exists(f"{r}/{directory}") for r in self.run_roots)
            return self._liveness.of(None) if is_known else Life(is_alive=None)
        for process in self._kernel.processes:
            if process.container_id == container_id and process.ns_pids[-1:] == (1,):
                return self._liveness.of(process.key.pid, process.key.start)
        return self._liveness.of(None)

    def _content(self, path: str) -> bytes:
        try:
            return self._host.read(path, _SMALL_BYTES)
        except OSError:
            return b""

    def _changed_at(self, path: str) -> datetime | None:
        try:
            return datetime.fromtimestamp(self._host.stat(path).st_mtime, UTC)
        except (OSError, ValueError, OverflowError):
            return None


def _is_of(shim: Shim, root: str) -> bool:
    """Whether it is a monitor that serves the store; CRI-O's does not say which it is."""
    is_monitor = shim.kind.startswith("conmon") and shim.id is not None
    return is_monitor and shim.graph_root in (None, root)
