"""Whether the init that a file records is alive: pids are reused, and files outlive processes."""

from datetime import UTC, datetime, timedelta

from rtscope.backends.base import Targets
from rtscope.model.facts import fact
from rtscope.model.records import Process
from rtscope.model.refs import ProcessKey
from rtscope.procfs.cgroups import CgroupReader, lines_of
from rtscope.procfs.table import read_row

_DEAD_STATES = frozenset("ZXx")
"""Source: proc_pid_stat(5), field 3. What waits to be reaped runs no more."""

_SLACK = timedelta(seconds=10)
"""How long after a file says it was created its process may have been forked, on a loaded node."""


@fact
class Life:
    """What the kernel says of a recorded init.

    Attributes:
        is_alive: None where /proc shows too little to tell.
        is_frozen: By its freezer cgroup; None if unknown or not alive.
        key: Of the live init.
    """

    is_alive: bool | None
    is_frozen: bool | None = None
    key: ProcessKey | None = None


_DEAD = Life(is_alive=False)
_UNKNOWN = Life(is_alive=None)


class Liveness:
    """Answers from the process scan where it has the process, else from /proc.

    What a container's own runtimes recorded are pids of its pid namespace: those are looked for
    among the processes below its init, and never taken for pids of the node.
    """

    def __init__(self, targets: Targets, nested_in: int | None = None) -> None:
        self._nested_in = nested_in
        self._proc = targets.host.proc
        self._node = targets.node
        self._cgroups = CgroupReader(targets.host)
        kernel = targets.kernel
        self._scanned: dict[ProcessKey, Process] = (
            {} if kernel is None else {process.key: process for process in kernel.processes}
        )
        self._by_pid = {process.key.pid: process for process in self._scanned.values()}
        self._sees_others: bool | None = None

    def of(
        self,
        pid: int | None,
        start: int | None = None,
        *,
        born: datetime | None = None,
        cgroup: str | None = None,
    ) -> Life:
        """The life of a recorded process.

        Args:
            pid: As recorded; None is a process that never was or is gone.
            start: Clock ticks since boot, as recorded.
            born: Where no start was recorded: when the container was made. What started clearly
                later has the pid by reuse.
            cgroup: Where no start was recorded: the cgroup that the container was put in.
        """
        if pid is None:
            return _DEAD
        if self._nested_in is not None:
            return self._nested_life(pid, start, born)
        process = self._scanned.get(ProcessKey(pid=pid, start=start)) if start else None
        if process is not None:
            return self._life_of(process)
        row = read_row(self._proc, pid)
        if row is None:
            return _DEAD if self._can_see_others() else _UNKNOWN
        key = row.key
        if row.state.decode(errors="replace") in _DEAD_STATES:
            return _DEAD
        if start is not None:
            is_same = key.start == start
        else:
            is_same = self._was_there(key, born) and self._is_inside(pid, cgroup)
        if not is_same:
            return _DEAD
        scanned = self._scanned.get(key)
        return self._life_of(scanned) if scanned is not None else self._read_life(key)

    def _nested_life(self, pid: int, start: int | None, born: datetime | None) -> Life:
        below = [process for process in self._scanned.values() if self._is_below(process)]
        for process in below:
            is_same = start == process.key.start if start else self._was_there(process.key, born)
            if pid in process.ns_pids and is_same:
                return self._life_of(process)
        return _DEAD if any(process.ns_pids for process in below) else _UNKNOWN

    def _is_below(self, process: Process) -> bool:
        seen = {process.key.pid}
        while process.ppid not in seen:
            if process.ppid == self._nested_in:
                return True
            seen.add(process.ppid)
            parent = self._by_pid.get(process.ppid)
            if parent is None:
                return False
            process = parent
        return False

    def _life_of(self, process: Process) -> Life:
        if process.state in _DEAD_STATES:
            return _DEAD
        if process.is_frozen is None:
            return self._read_life(process.key)
        return Life(is_alive=True, is_frozen=process.is_frozen, key=process.key)

    def _read_life(self, key: ProcessKey) -> Life:
        is_frozen = self._cgroups.is_frozen(self._cgroups.content(key.pid))
        return Life(is_alive=True, is_frozen=is_frozen, key=key)

    def _was_there(self, key: ProcessKey, born: datetime | None) -> bool:
        if born is None or self._node.btime is None:
            return True
        seconds = self._node.btime + key.start / self._node.clk_tck
        return datetime.fromtimestamp(seconds, UTC) <= born + _SLACK

    def _is_inside(self, pid: int, cgroup: str | None) -> bool:
        content = self._cgroups.content(pid)
        if not cgroup or not content:
            return True
        path = f"/{cgroup.strip('/')}"
        return any(f"{inside}/".startswith(f"{path}/") for _, inside in lines_of(content))

    def _can_see_others(self) -> bool:
        """False under hidepid, where another user's process looks like none."""
        if self._sees_others is None:
            self._sees_others = read_row(self._proc, 1) is not None
        return self._sees_others
