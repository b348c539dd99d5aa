"""What was read first, brought up to the answers that came after it.

/proc is read first, the daemons are asked next, and a busy node does not wait: by the time a daemon
answers, a container may have ended or started. What no daemon knows, or one calls stopped, is
looked up again, one process and one directory at a time; on a node where nothing moves that is
nothing at all.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from rtscope.backends.base import Targets
from rtscope.config.deadlines import SETTLED_S, SHIM_GOES_S
from rtscope.model.facts import replace
from rtscope.model.observation import Observation
from rtscope.model.records import Bundle, OciState, Process, Shim
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import State
from rtscope.procfs.host import Host
from rtscope.procfs.scan import read_process
from rtscope.procfs.table import read_row

MAX_LATE = 256
"""So many new inits are looked up; a node that starts more in a second has other troubles."""

_POLL_S = 0.01
_WITH_DIRECTORY = frozenset({"runc", "crun", "youki"})
"""Runtimes that keep a directory ROOT/ID for each container."""


def settled(
    kernel: Observation, found: Sequence[Observation], targets: Targets
) -> tuple[Observation, ...]:
    """The kernel's observation and the others, without what has ended meanwhile.

    The inits that records name and that were not there yet are added to the kernel's.
    """
    if any(gap.missing == "processes" for gap in kernel.gaps):
        # Pids that a daemon of the node names mean others in this pid namespace.
        return (kernel, *found)
    local = [o for o in found if not o.endpoint.is_remote and o.endpoint.nested_in is None]
    doubt = _Doubt(local)
    gone = _gone(kernel, doubt, targets.host)
    late = tuple(_late(kernel, local, targets.host))
    if gone or late:
        kernel = replace(
            kernel,
            processes=(*(p for p in kernel.processes if p.key not in gone), *late),
            shims=tuple(shim for shim in kernel.shims if shim.key not in gone),
        )
    served = {shim.bundle_dir for shim in kernel.shims}
    bundles = [bundle for one in local for bundle in one.bundles]
    lost = {b.ref: b.path for b in bundles if _is_passing(b, served, doubt, targets.host)}
    still = {id(one): _without(one, lost, doubt, targets.host) for one in local}
    return (kernel, *(still.get(id(one), one) for one in found))


class _Doubt:
    """Which ids are worth a second look. An id alone decides nothing else here."""

    def __init__(self, found: Sequence[Observation]) -> None:
        self._known: set[str] = set()
        self._over: set[str] = set()
        for observation in found:
            self._known |= {sandbox.ref.id for sandbox in observation.sandboxes}
            self._known |= {record.ref.id for record in observation.containers}
            for records in (observation.containers, observation.tasks, observation.oci_states):
                self._over |= {r.ref.id for r in records if r.state is State.STOPPED}

    def of(self, identifier: str | None) -> bool:
        """Whether no engine knows it, or somebody says that it is over."""
        return identifier not in self._known or identifier in self._over

    def is_unknown(self, identifier: str | None) -> bool:
        """Whether no engine knows it."""
        return identifier not in self._known


def _gone(kernel: Observation, doubt: _Doubt, host: Host) -> set[ProcessKey]:
    """Processes that were there when /proc was read and are no more."""
    shims = [s for s in kernel.shims if s.nested_in is None and doubt.of(s.id)]
    held = {shim.key for shim in shims}
    processes: list[Process | Shim] = [
        process
        for process in kernel.processes
        if (process.container_id is not None and doubt.of(process.container_id))
        or process.shim in held
    ]
    gone = {one.key for one in processes if not _is_there(one.key, host)}
    # A shim outlives its last container by the time that its clean-up takes.
    parents = {process.shim for process in kernel.processes if process.key not in gone}
    idle = [s for s in shims if s.key not in parents and doubt.is_unknown(s.id)]
    end = time.monotonic() + SHIM_GOES_S
    while any(_lingers(shim, host) for shim in idle) and time.monotonic() < end:
        time.sleep(_POLL_S)
    return gone | {shim.key for shim in shims if not _is_there(shim.key, host)}


def _lingers(shim: Shim, host: Host) -> bool:
    """Whether it, or the bundle that it removes last, is still there."""
    if _is_there(shim.key, host):
        return True
    return shim.bundle_dir is not None and host.exists(shim.bundle_dir)


def _is_there(key: ProcessKey, host: Host) -> bool:
    row = read_row(host.proc, key.pid)
    return row is not None and row.key == key


def _is_passing(bundle: Bundle, served: Collection[str | None], doubt: _Doubt, host: Host) -> bool:
    """Whether a bundle that no engine knows went away, or came after the engines were asked."""
    if not doubt.is_unknown(bundle.ref.id):
        return False
    try:
        status = host.stat(bundle.path)
    except OSError:
        return not host.exists(bundle.path)
    age_s = time.time() - max(status.st_mtime, status.st_ctime)
    return bundle.path not in served and 0 <= age_s < SETTLED_S


def _without(
    observation: Observation, lost: Mapping[Ref, str], doubt: _Doubt, host: Host
) -> Observation:
    """The observation without bundles, tasks and OCI states of what was only passing."""
    paths = set(lost.values())
    bundles = tuple(b for b in observation.bundles if b.ref not in lost)
    tasks = tuple(t for t in observation.tasks if t.ref not in lost)
    states = tuple(
        state
        for state in observation.oci_states
        if not doubt.is_unknown(state.ref.id)
        or (state.bundle_dir not in paths and _is_stored(state, observation, host))
    )
    if len(bundles) == len(observation.bundles) and len(states) == len(observation.oci_states):
        return observation
    return replace(observation, bundles=bundles, oci_states=states, tasks=tasks)


def _is_stored(state: OciState, observation: Observation, host: Host) -> bool:
    if state.oci_runtime not in _WITH_DIRECTORY:
        return True
    return host.exists(f"{observation.endpoint.address}/{state.ref.id}")


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
