"""What the kernel knows of one group: its init, its shim, its processes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rtscope.correlate.groups import HEX_ID, MONITORS, Group, state_dir_of
from rtscope.model.observation import Gap, Observation
from rtscope.model.records import Process, Shim
from rtscope.model.refs import ProcessKey
from rtscope.model.state import ANSWERED, State

WAITING_INITS = ("runc:[", "youki:[", "crun:[")
"""First words of the command name of an init that waits for its start."""

DEAD_LETTERS = frozenset("ZXx")
"""Source: proc_pid_stat(5), field 3. What waits to be reaped runs no more."""

FOREIGN_OWNERS = frozenset({"lxc", "nspawn", "buildkit", "libvirt-lxc"})
"""Owners of cgroups whose processes are recognised but are no container of an engine."""


class Kernel:
    """Processes and shims of the node, indexed for the join.

    Attributes:
        is_read: Whether a process that is not here is not there.
        why_unread: What stood in the way; None if nothing did.
    """

    def __init__(self, observations: Sequence[Observation]) -> None:
        self.is_read = False
        self.why_unread: str | None = "/proc was not read"
        self.processes: dict[int, Process] = {}
        self.shims: dict[ProcessKey, Shim] = {}
        for observation in observations:
            if observation.kind == "procfs":
                self.is_read, self.why_unread = _sight(observation)
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
        if group.is_remote:
            return None
        for pid, start in _recorded(group):
            process = self.processes.get(pid)
            if process is None or process.state in DEAD_LETTERS:
                continue
            if start is not None:
                if process.key.start == start:
                    return process
            elif self._is_confirmed(process, group):
                return process
        return self._child_of_monitor(group)

    def _is_confirmed(self, process: Process, group: Group) -> bool:
        if process.container_id is not None:
            return process.container_id in group.ids
        shims = {shim.key for _, shim in group.shims}
        shims |= {task.shim for _, task in group.tasks if task.shim is not None}
        if process.shim is not None:
            return process.shim in shims or self._serves(process.shim, group)
        paths = {state.cgroup_path for _, state in group.oci if state.cgroup_path}
        return any(
            process.cgroup is not None and path.rstrip("/").endswith(process.cgroup.rstrip("/"))
            for path in paths
        ) or any(
            # The backend compared its age with the file's.
            state.pid == process.key.pid and state.state is not State.STOPPED
            for _, state in group.oci
        )

    def _serves(self, key: ProcessKey, group: Group) -> bool:
        """Whether it is the shim of a pod: another container's, of the same containerd."""
        shim = self.shims.get(key)
        place = None if shim is None else state_dir_of(shim.bundle_dir)
        return place is not None and any(
            (bundle.ref.origin, bundle.ref.namespace) == place[:2] for _, bundle in group.bundles
        )

    def _child_of_monitor(self, group: Group) -> Process | None:
        """The child of a monitor, or of a shim whose bundle may not be read."""
        for _, shim in group.shims:
            if shim.kind not in MONITORS and (group.bundles or group.tasks):
                continue
            for pid in self._children.get(shim.key.pid, ()):
                process = self.processes[pid]
                is_its = process.container_id in (None, shim.id) and process.comm != "conmon"
                if is_its and process.state not in DEAD_LETTERS:
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
        place = place_of(init)
        for process in self._by_container.get(init.container_id or "", ()):
            if process.shim == init.shim or place_of(process) == place:
                found.setdefault(process.key.pid, process.key)
        return tuple(found.values())

    def left_over(self, group: Group) -> tuple[ProcessKey, ...]:
        """Live processes in the cgroup of a container whose init is gone."""
        if group.is_remote:
            return ()
        return tuple(
            process.key
            for identifier in sorted(group.ids)
            if len(identifier) == HEX_ID
            for process in self._by_container.get(identifier, ())
            if process.state not in DEAD_LETTERS
        )

    def without_record(self, known: Iterable[ProcessKey]) -> list[tuple[Process, ...]]:
        """Live processes of containers that no record explains, by cgroup; parents first.

        What sits in the cgroup of a container that is known belongs to that one.
        """
        explained = {key.pid for key in known}
        places = {
            place_of(self.processes[pid])
            for pid in explained
            if pid in self.processes and self.processes[pid].container_id
        }
        strays: dict[str | None, list[Process]] = defaultdict(list)
        for process in self.processes.values():
            if process.container_id is None or process.key.pid in explained:
                continue
            if process.state in DEAD_LETTERS or process.owner in FOREIGN_OWNERS:
                continue
            place = place_of(process)
            if place not in places and process.key not in self.shims:
                strays[place].append(process)
        return [
            tuple(sorted(strays[place], key=lambda process: (process.key.start, process.key.pid)))
            for place in sorted(strays, key=str)
        ]


def place_of(process: Process) -> str | None:
    """The container's own cgroup: a workload may have made others below it."""
    path, identifier = process.cgroup, process.container_id
    if path is None or identifier is None:
        return path
    before, found, after = path.rpartition(identifier)
    return before + found + after.partition("/")[0] if found else path


def _sight(observation: Observation) -> tuple[bool, str | None]:
    """Whether this look at /proc saw every process, and what kept it from that."""
    blind: Gap | None = next((g for g in observation.gaps if g.missing == "processes"), None)
    if blind is not None:
        return False, blind.detail or f"processes are {blind.reason}"
    if observation.endpoint.state not in ANSWERED:
        return False, "/proc was not read"
    return True, None


def _recorded(group: Group) -> Iterator[tuple[int, int | None]]:
    """Every pid that somebody recorded, the best known first.

    What ended keeps its last pid in some records, and the kernel may have given it to another.
    An engine in a container records pids of its own namespace; OCI states come translated.
    """
    containers = [r for i, r in group.containers if i.endpoint.nested_in is None]
    sandboxes = [s for i, s in group.sandboxes if i.endpoint.nested_in is None]
    recorded: list[tuple[int | None, int | None]] = [
        (state.pid, state.pid_start) for _, state in group.oci
    ]
    recorded += [(task.pid, None) for _, task in group.tasks if task.state is not State.STOPPED]
    if not any(task.state is State.STOPPED for _, task in group.tasks):
        recorded += [(bundle.init_pid, None) for _, bundle in group.bundles]
    recorded += [(r.pid, None) for r in containers if r.state is not State.STOPPED]
    recorded += [(s.pid, None) for s in sandboxes if s.state is not State.STOPPED]
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
