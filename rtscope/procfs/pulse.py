"""Whether anything of the containers moved since the last look at /proc, at a tenth of its price.

Only stat lines are read. What counts: a process of the last look that ended, stopped or became a
zombie, and a new one that may belong to a container, a shim or a daemon.
"""

from collections.abc import Iterator, Mapping

from rtscope.model.observation import Observation
from rtscope.procfs.daemons import daemon_kind
from rtscope.procfs.host import Host
from rtscope.procfs.monitors import MONITOR_COMMS
from rtscope.procfs.table import KTHREADD, Row, read_table

_HELD = frozenset({"T", "t", "Z", "X"})


class Pulse:
    """What the last full look saw, to be compared with the table of processes now."""

    __slots__ = ("_known", "_strict")

    def __init__(self, kernel: Observation) -> None:
        monitors = {shim.key: shim.process_state for shim in kernel.shims}
        monitors |= {daemon.key: daemon.process_state for daemon in kernel.daemons}
        self._strict = {key.pid for key in monitors}
        self._strict |= {
            p.key.pid for p in kernel.processes if p.shim is not None and p.ppid == p.shim.pid
        }
        self._known = {
            p.key.pid: (p.key.start, self._word(p.key.pid, p.state)) for p in kernel.processes
        }
        for key, state in monitors.items():
            self._known[key.pid] = (key.start, self._word(key.pid, state))

    def is_same(self, host: Host) -> bool:
        """Whether a full look would find nothing new.

        Raises:
            OSError: /proc cannot be listed.
        """
        rows = read_table(host.proc)
        return not any(True for _ in self._differences(rows))

    def _differences(self, rows: Mapping[int, Row]) -> Iterator[int]:
        for pid, before in self._known.items():
            row = rows.get(pid)
            if row is None or (row.key.start, self._word(pid, row.state.decode())) != before:
                yield pid
        for pid, row in rows.items():
            if pid not in self._known and self._may_matter(row):
                yield pid

    def _word(self, pid: int, state: str) -> str:
        """Sleeping and running are the same; waiting in the kernel counts where it holds others."""
        if state in _HELD or (state == "D" and pid in self._strict):
            return state
        return "."

    def _may_matter(self, row: Row) -> bool:
        if row.ppid == KTHREADD or row.pid == KTHREADD:
            return False
        if row.ppid in self._known and row.ppid != 1:
            return True
        is_named = row.comm in MONITOR_COMMS or daemon_kind(row.comm) is not None
        return is_named or row.ppid == 1
