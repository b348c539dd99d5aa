"""What the kernel showed, brought up to the answers that came after it.

/proc is read first, the daemons are asked next, and a busy node does not wait: by the time a daemon
answers, a container may have ended or started. What its answer makes doubtful is looked up again,
one process at a time; on a node where nothing moves that is no process at all.
"""

from collections.abc import Iterator, Sequence

from rtscope.backends.base import Targets
from rtscope.model.facts import replace
from rtscope.model.observation import Observation
from rtscope.model.records import Process, Shim
from rtscope.model.refs import ProcessKey
from rtscope.model.state import State
from rtscope.procfs.host import Host
from rtscope.procfs.scan import read_process
from rtscope.procfs.table import read_row

MAX_LATE = 256
"""So many new inits are looked up; a node that starts more in a second is not read by chance."""


def settled(kernel: Observation, found: Sequence[Observation], targets: Targets) -> Observation:
    """The kernel's observation without what has ended, and with the inits that have started."""
    if any(gap.missing == "processes" for gap in kernel.gaps):
        # Pids that a daemon of the node names mean others in this pid namespace.
        return kernel
    local = [o for o in found if not o.endpoint.is_remote and o.endpoint.nested_in is None]
    gone = _gone(kernel, local, targets.host)
    late = tuple(_late(kernel, local, targets.host))
    if not gone and not late:
        return kernel
    return replace(
        kernel,
        processes=(*(p for p in kernel.processes if p.key not in gone), *late),
        shims=tuple(shim for shim in kernel.shims if shim.key not in gone),
    )


def _gone(kernel: Observation, found: Sequence[Observation], host: Host) -> set[ProcessKey]:
    """Processes that were there, of containers that nobody knows or that are said to be over."""
    known, over = _ids(found)
    doubtful: list[Process | Shim] = [
        shim
        for shim in kernel.shims
        if shim.nested_in is None and (shim.id not in known or shim.id in over)
    ]
    held = {shim.key for shim in doubtful}
    for process in kernel.processes:
        name = process.container_id
        is_named = name is not None and (name not in known or name in over)
        if is_named or process.shim in held:
            doubtful.append(process)
    return {one.key for one in doubtful if not _is_there(one.key, host)}


def _ids(found: Sequence[Observation]) -> tuple[set[str | None], set[str]]:
    """Ids that a record has, and those of them that some record calls stopped.

    Only which processes are looked up again depends on them: an id alone decides nothing.
    """
    known: set[str | None] = set()
    over: set[str] = set()
    for observation in found:
        known |= {bundle.ref.id for bundle in observation.bundles}
        known |= {sandbox.ref.id for sandbox in observation.sandboxes}
        for records in (observation.containers, observation.tasks, observation.oci_states):
            for record in records:
                known.add(record.ref.id)
                if record.state is State.STOPPED:
                    over.add(record.ref.id)
    return known, over


def _is_there(key: ProcessKey, host: Host) -> bool:
    row = read_row(host.proc, key.pid)
    return row is not None and row.key == key


def _late(kernel: Observation, found: Sequence[Observation], host: Host) -> Iterator[Process]:
    """Inits that a record names and that were not there when /proc was read."""
    seen = {process.key.pid for process in kernel.processes}
    shims = {shim.key.pid: shim.key for shim in kernel.shims}
    claimed = [(pid, start) for pid, start in _claimed(found).items() if pid not in seen]
    for pid, start in claimed[:MAX_LATE]:
        row = read_row(host.proc, pid)
        if row is None or (start is not None and row.key.start != start):
            continue
        process = read_process(host, pid)
        if process is not None and process.key == row.key:
            yield replace(process, shim=shims.get(process.ppid))


def _claimed(found: Sequence[Observation]) -> dict[int, int | None]:
    """Pid of every init that is said to live, with its start where that is recorded."""
    claimed: dict[int, int | None] = {}
    for observation in found:
        for records in (observation.containers, observation.tasks):
            for record in records:
                if record.pid is not None and record.state is not State.STOPPED:
                    claimed.setdefault(record.pid, None)
        for state in observation.oci_states:
            if state.pid is not None and state.state is not State.STOPPED:
                claimed[state.pid] = state.pid_start
    return claimed
