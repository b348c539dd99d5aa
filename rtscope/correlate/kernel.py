"""What the kernel knows of one group: its init, its shim, its processes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rtscope.correlate.groups import MONITORS, Group, state_dir_of
from rtscope.model.observation import Observation
from rtscope.model.records import Process, Shim
from rtscope.model.refs import ProcessKey

WAITING_INITS = ("runc:[", "youki:[", "crun:[")
"""First words of the command name of an init that waits for its start."""


class Kernel:
    """Processes and shims of the node, indexed for the join."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self.is_read = False
        self.processes: dict[int, Process] = {}
        self.shims: dict[ProcessKey, Shim] = {}
        for observation in observations:
            if observation.kind == "procfs":
                self.is_read = True
            for process in observation.processes:
                self.processes[process.key.pid] = process
            for shim in observation.shims:
                self.shims[shim.key] = shim
        self._children: dict[int, list[int]] = defaultdict(list)
        for process in self.processes.values():
            self._children[process.ppid].append(process.key.pid)
        self._by_container: dict[str, list[Process]] = defaultdict(list)
        for process in self.processes.values():
            if process.container_id:
                self._by_container[process.container_id].append(process)
        self._shim_of_id: dict[tuple[str, str, str], Shim] = {}
        for shim in self.shims.values():
            state = state_dir_of(shim.bundle_dir)
            if state is not None and shim.nested_in is None:
                self._shim_of_id[state] = shim

    def shim_of(self, group: Group, init: Process | None) -> Shim | None:
        """The live shim or monitor: its own record, the init's ancestor, or that of its pod."""
        if init is not None and init.shim is not None and init.shim in self.shims:
            return self.shims[init.shim]
        for _, shim in group.shims:
            return shim
        for _, task in group.tasks:
            if task.shim is not None and task.shim in self.shims:
                return self.shims[task.shim]
        return None

    def init_of(self, group: Group) -> Process | None:
        """The live init; a recorded pid counts only when something else confirms it."""
        for pid, start in _recorded(group):
            process = self.processes.get(pid)
            if process is None:
                continue
            if start is not None:
                if process.key.start == start:
                    return process
            elif self._is_confirmed(process, group):
                return process
        return self._child_of_monitor(group)

    def _is_confirmed(self, process: Process, group: Group) -> bool:
        ids = {
            item.record.id if isinstance(item.record, Shim) else item.record.ref.id
            for item in group.items
        }
        if process.container_id is not None:
            return process.container_id in ids
        shims = {shim.key for _, shim in group.shims}
        shims |= {task.shim for _, task in group.tasks if task.shim is not None}
        if process.shim is not None:
            return process.shim in shims or not shims
        paths = {state.cgroup_path for _, state in group.oci if state.cgroup_path}
        return any(
            process.cgroup is not None and path.rstrip("/").endswith(process.cgroup.rstrip("/"))
            for path in paths
        ) or any(state.pid == process.key.pid for _, state in group.oci)

    def _child_of_monitor(self, group: Group) -> Process | None:
        """The child of a monitor, or of a shim whose bundle may not be read."""
        for _, shim in group.shims:
            if shim.kind not in MONITORS and (group.bundles or group.tasks):
                continue
            for pid in self._children.get(shim.key.pid, ()):
                process = self.processes[pid]
                if process.container_id in (None, shim.id) and process.comm != "conmon":
                    return process
        return None

    def below(self, init: Process) -> tuple[ProcessKey, ...]:
        """The init and all its descendants, and what else sits in its cgroup, init first."""
        found: dict[int, ProcessKey] = {}
        waiting = [init.key.pid]
        while waiting:
            pid = waiting.pop()
            process = self.processes.get(pid)
            if process is not None and pid not in found:
                found[pid] = process.key
                waiting.extend(self._children.get(pid, ()))
        for process in self._by_container.get(init.container_id or "", ()):
            if process.shim == init.shim:
                found.setdefault(process.key.pid, process.key)
        return tuple(found.values())

    def without_record(self, known: frozenset[int]) -> Iterator[list[Process]]:
        """Live processes of a container id that no record explains, by container."""
        strays: dict[tuple[str, ProcessKey | None], list[Process]] = defaultdict(list)
        for process in self.processes.values():
            if process.container_id and process.key.pid not in known:
                strays[process.container_id, process.shim].append(process)
        yield from strays.values()


def _recorded(group: Group) -> Iterator[tuple[int, int | None]]:
    """Every pid that somebody recorded, the best known first."""
    recorded: list[tuple[int | None, int | None]] = [
        (state.pid, state.pid_start) for _, state in group.oci
    ]
    recorded += [(task.pid, None) for _, task in group.tasks]
    recorded += [(bundle.init_pid, None) for _, bundle in group.bundles]
    recorded += [(record.pid, None) for _, record in group.containers]
    recorded += [(sandbox.pid, None) for _, sandbox in group.sandboxes]
    for pid, start in recorded:
        if pid is not None:
            yield pid, start


def is_waiting(init: Process) -> bool:
    """Whether this init waits for its start: the runtime's own name is still its command."""
    return init.comm.startswith(WAITING_INITS)


def children_of(processes: Mapping[int, Process]) -> dict[int, list[Process]]:
    """Processes by parent, in order of pid."""
    children: dict[int, list[Process]] = defaultdict(list)
    for process in sorted(processes.values(), key=lambda p: p.key):
        children[process.ppid].append(process)
    return children
