"""One look at /proc: daemons, shims, monitors, and the processes of containers.

Every process's stat line is read. What costs more is read of few: of processes whose name a daemon
or a monitor has, of what descends from a monitor, and, to find containers that no monitor parents
(a bare OCI runtime's, or those of a shim that died), of the session leaders among the rest and of
pid 1's children: an OCI runtime makes the init of a container a session leader.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from rtscope.model.observation import Endpoint, Gap, Node, Observation
from rtscope.model.records import Daemon, Process, Shim
from rtscope.model.refs import ProcessKey
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs import detail
from rtscope.procfs.cgroups import CgroupReader, CgroupShape, is_of_a_unit
from rtscope.procfs.daemons import (
    DAEMON_COMMS,
    daemon_kind,
    is_daemon_call,
    is_daemon_exe,
    options_of,
)
from rtscope.procfs.host import Host
from rtscope.procfs.monitors import (
    MONITOR_COMMS,
    MonitorArgs,
    is_monitor_exe,
    monitor_from_args,
    monitor_from_cwd,
)
from rtscope.procfs.node import notes_on_view
from rtscope.procfs.reads import Reads
from rtscope.procfs.table import (
    KTHREADD,
    Row,
    Survey,
    ancestors,
    descendants,
    read_row,
    read_table,
)
from rtscope.procfs.views import Views

SOURCE = "procfs:///proc"
_RUNTIMES = frozenset({b"runc", b"crun", b"youki", b"runsc", b"rootlesskit", b"exe"})
_NAMES = _RUNTIMES | MONITOR_COMMS | DAEMON_COMMS
_DEFAULT_NAMESPACES = frozenset({"default", "k8s.io", "moby"})


def observe_kernel(
    host: Host, node: Node, on_monitors: Callable[[Observation], None] | None = None
) -> Observation:
    """Daemons, shims and monitors, container processes and the ancestors of them all.

    Args:
        host: The node's files.
        node: What the observation is of.
        on_monitors: Called halfway with what can be said then: monitors and daemons.
    """
    look = _Look(host, node)
    look.scan.find_monitors_and_daemons()
    if on_monitors is not None:
        on_monitors(look.observation())
    look.scan.find_processes()
    look.note_view()
    return look.observation()


class _Look:
    """One reading of the table, and the observation that comes of it."""

    def __init__(self, host: Host, node: Node) -> None:
        self._host = host
        self._node = node
        self._started_at = datetime.now(UTC)
        self._t0 = time.monotonic()
        self._gaps: list[Gap] = []
        try:
            self._rows = read_table(host.proc)
        except OSError as error:
            self._rows = {}
            self._gaps.append(_gap("processes", Reason.DENIED, f"{host.proc}: {error.strerror}"))
        self.scan = Scan(host, self._rows)

    def note_view(self) -> None:
        """What of the node cannot be seen from here."""
        for note in notes_on_view(self._host):
            missing = "cgroups" if "cgroup namespace" in note else "processes"
            self._gaps.append(_gap(missing, Reason.UNSUPPORTED, note))
        if self._rows and 1 not in self._rows and len(self._rows) <= 2:
            detail_ = "only own processes are visible: /proc is mounted with hidepid"
            self._gaps.append(_gap("processes", Reason.DENIED, detail_))

    def observation(self) -> Observation:
        """What the scan knows by now."""
        scan = self.scan
        return Observation(
            source=SOURCE,
            kind="procfs",
            node=self._node,
            started_at=self._started_at,
            taken_at=datetime.now(UTC),
            taken_boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            endpoint=Endpoint(
                kind="procfs",
                address="/proc",
                found_by=("kernel",),
                state=EndpointState.OK if self._rows else EndpointState.DENIED,
                first_answer_ms=round((time.monotonic() - self._t0) * 1000, 3),
                asked=("stat", "cmdline", "cgroup"),
            ),
            shims=tuple(scan.shims.values()),
            daemons=tuple(scan.daemons.values()),
            processes=tuple(scan.processes.values()),
            gaps=tuple(self._gaps),
        )


def read_process(host: Host, pid: int) -> Process | None:
    """One process in full, whatever it belongs to; None if it is not there."""
    row = read_row(host.proc, pid)
    if row is None:
        return None
    scan = Scan(host, {pid: row})
    scan.note_container_process(row, is_init=True, shim=None)
    return scan.processes[pid]


def _gap(missing: str, reason: Reason, detail_: str) -> Gap:
    return Gap(source=SOURCE, subject="daemon", missing=missing, reason=reason, detail=detail_)


class Scan:
    """The state of one look at /proc."""

    def __init__(self, host: Host, rows: dict[int, Row]) -> None:
        self._host = host
        self._proc = host.proc
        self._rows = rows
        survey = Survey(rows, _NAMES)
        self._children = survey.children
        self._named = survey.named
        self._loners = survey.loners
        self._reads = Reads(host)
        self._cgroups = CgroupReader(host, _DEFAULT_NAMESPACES)
        self._pid_namespace = self._reads.first_namespace("pid")
        self._mount_namespace = self._reads.first_namespace("mnt")
        self._views = Views(host, self._mount_namespace)
        self.shims: dict[int, Shim] = {}
        self.daemons: dict[int, Daemon] = {}
        self.processes: dict[int, Process] = {}

    def find_monitors_and_daemons(self) -> None:
        """The first half: who parents containers, and whom to ask."""
        self._find_monitors(row for row in self._named if row.comm in MONITOR_COMMS)
        self._use_namespaces()
        for row in self._named:
            if row.comm in DAEMON_COMMS:
                self._find_daemon(row)

    def find_processes(self) -> None:
        """The second half: the processes of containers, and the ancestors of everything."""
        for pid, shim in reversed(self.shims.items()):
            self._note_family(pid, shim)
        self._find_unparented()
        for row in self._named:
            if row.pid in self.daemons or row.comm in _RUNTIMES:
                self._note_plain(row)
        self._note_ancestors()

    def _use_namespaces(self) -> None:
        """Tell the cgroup reader which containerd namespaces there are."""
        named = {shim.namespace for shim in self.shims.values() if shim.namespace}
        self._cgroups = CgroupReader(self._host, _DEFAULT_NAMESPACES | named)

    # Monitors

    def _find_monitors(self, candidates: Iterable[Row]) -> None:
        """Outer ones first: whether one is nested depends on those above it."""
        by_depth = [(sum(1 for _ in ancestors(self._rows, row.pid)), row) for row in candidates]
        for _, row in sorted(by_depth, key=lambda pair: (pair[0], pair[1].pid)):
            shim = self._monitor(row)
            if shim is not None:
                self.shims[row.pid] = shim

    def _monitor(self, row: Row) -> Shim | None:
        exe = detail.exe_of(self._proc, row)
        if exe is not None and not is_monitor_exe(exe):
            return None
        args = self._reads.arguments(row)
        cwd = detail.cwd_of(self._proc, row)
        said: MonitorArgs | None
        if args is None:
            said = monitor_from_cwd(row.comm, cwd)
        elif not args or (exe is None and not is_monitor_exe(args[0])):
            return None
        else:
            said = monitor_from_args(args, exe, cwd)
        if said is None or self._reads.is_pretending(row.pid):
            return None
        nested_in = self._nested_in(row)
        bundle_dir = said.bundle_dir
        if bundle_dir is not None and nested_in is None and self._views.is_own(row):
            bundle_dir = self._views.outside(row, bundle_dir)
        return Shim(
            key=row.key,
            kind=said.kind,
            namespace=said.namespace,
            id=said.id,
            containerd_address=said.containerd_address,
            bundle_dir=bundle_dir,
            name=said.name,
            oci_runtime=said.oci_runtime,
            oci_root=said.oci_root,
            graph_root=said.graph_root,
            run_root=said.run_root,
            log_path=said.log_path,
            exit_dir=said.exit_dir,
            pid_file=said.pid_file,
            process_state=row.state.decode(errors="replace"),
            wchan=detail.wchan_of(self._proc, row),
            exe=exe,
            uid=self._reads.uid(row.pid) or 0,
            children=tuple(self._children.get(row.pid, ())),
            is_verified=exe is not None and self._reads.namespace(row.pid, "pid") is not None,
            nested_in=nested_in,
        )

    def _nested_in(self, row: Row) -> int | None:
        """Pid of the init of the container that a process runs in; None on the host."""
        outermost = below = None
        at = row
        for parent in ancestors(self._rows, row.pid):
            if parent.pid in self.shims:
                outermost, below = parent, at
            at = parent
        if outermost is not None and below is not None:
            return below.pid
        shape = self._shape(row.pid)
        if shape is not None and not shape.is_monitor:
            return self._top_of(row, lambda other: self._is_in_container(other.pid))
        if self._is_foreign(row.pid) and not self._is_users_own(row):
            return self._top_of(row, lambda other: self._is_foreign(other.pid))
        return None

    def _top_of(self, row: Row, belongs: Callable[[Row], bool]) -> int:
        top = row.pid
        for parent in ancestors(self._rows, row.pid):
            if not belongs(parent):
                break
            top = parent.pid
        return top

    def _shape(self, pid: int) -> CgroupShape | None:
        return self._cgroups.parse(self._reads.cgroup(pid))[1]

    def _is_in_container(self, pid: int) -> bool:
        shape = self._shape(pid)
        return shape is not None and not shape.is_monitor

    def _is_foreign(self, pid: int) -> bool:
        """Whether it lives in another pid namespace than the node's init."""
        own = self._reads.namespace(pid, "pid")
        if own is not None and self._pid_namespace is not None:
            return own != self._pid_namespace
        return len(detail.ns_pids_of(self._proc, pid)) > 1

    def _is_users_own(self, row: Row) -> bool:
        """Whether a rootless user's helper made its namespaces."""
        uid = self._reads.uid(row.pid)
        return any(
            parent.comm == b"rootlesskit" and self._reads.uid(parent.pid) == uid
            for parent in ancestors(self._rows, row.pid)
        )

    # Processes of containers

    def _note_family(self, pid: int, shim: Shim) -> None:
        """A monitor and everything below it; what is below an inner one was noted before."""
        self._note_plain(self._rows[pid])
        firsts = set(shim.children)
        for below in descendants(self._children, pid):
            if below in self.processes and below not in self.shims:
                continue
            self.note_container_process(self._rows[below], is_init=below in firsts, shim=shim.key)

    def _find_unparented(self) -> None:
        """Containers whose init no monitor parents."""
        for row in self._loners:
            if row.pid in self.processes or row.pid in (1, KTHREADD):
                continue
            if not self._is_container_like(row.pid):
                continue
            self.note_container_process(row, is_init=True, shim=None)
            for below in descendants(self._children, row.pid):
                if below not in self.processes:
                    self.note_container_process(self._rows[below], is_init=False, shim=None)

    def _is_container_like(self, pid: int) -> bool:
        content = self._reads.cgroup(pid)
        path, shape = self._cgroups.parse(content)
        if shape is not None:
            return not shape.is_monitor
        if self._is_foreign(pid):
            return True
        own = self._reads.namespace(pid, "mnt")
        is_private = own is not None and own != self._mount_namespace
        return is_private and not is_of_a_unit(path)

    def note_container_process(self, row: Row, *, is_init: bool, shim: ProcessKey | None) -> None:
        """Read a container's process; of its init more than of the others."""
        proc, pid = self._proc, row.pid
        content = self._reads.cgroup(pid)
        path, shape = self._cgroups.parse(content)
        self.processes[pid] = Process(
            key=row.key,
            ppid=row.ppid,
            comm=row.comm.decode(errors="surrogateescape"),
            state=row.state.decode(errors="replace"),
            uid=self._reads.uid(pid),
            cmdline=self._reads.cmdline(row),
            exe=detail.exe_of(proc, row) if is_init else None,
            cgroup=path,
            ns_pids=detail.ns_pids_of(proc, pid) if is_init else (),
            mount_namespace=self._reads.namespace(pid, "mnt") if is_init else None,
            pid_namespace=self._reads.namespace(pid, "pid") if is_init else None,
            container_id=None if shape is None or shape.is_monitor else shape.id,
            shim=shim,
            owner=None if shape is None else shape.owner,
            is_frozen=self._cgroups.is_frozen(content) if is_init else None,
            wchan=detail.wchan_of(proc, row),
        )

    # Daemons

    def _find_daemon(self, row: Row) -> None:
        kind = daemon_kind(row.comm)
        assert kind is not None
        exe = detail.exe_of(self._proc, row)
        if exe is not None and not is_daemon_exe(kind, exe):
            return
        args = self._reads.arguments(row)
        if args is not None:
            is_named = exe is not None or (bool(args) and is_daemon_exe(kind, args[0]))
            if not args or not is_named or not is_daemon_call(kind, args):
                return
        if self._reads.is_pretending(row.pid):
            return
        uid = self._reads.uid(row.pid)
        nested_in = self._nested_in(row)
        options = options_of(self._views.of(row), kind, args or (), uid or 0)
        if nested_in is None and self._views.is_own(row):
            options = self._views.options_outside(row, options)
        self.daemons[row.pid] = Daemon(
            key=row.key,
            kind=kind,
            args=args or (),
            options=options,
            exe=exe,
            uid=uid,
            process_state=row.state.decode(errors="replace"),
            wchan=detail.wchan_of(self._proc, row),
            nested_in=nested_in,
            is_verified=exe is not None and self._reads.namespace(row.pid, "pid") is not None,
        )

    # The rest

    def _note_plain(self, row: Row) -> None:
        """Read a process that belongs to no container."""
        if row.pid in self.processes:
            return
        path, shape = self._cgroups.parse(self._reads.cgroup(row.pid))
        self.processes[row.pid] = Process(
            key=row.key,
            ppid=row.ppid,
            comm=row.comm.decode(errors="surrogateescape"),
            state=row.state.decode(errors="replace"),
            uid=self._reads.uid(row.pid),
            cmdline=self._reads.cmdline(row),
            cgroup=path,
            container_id=None if shape is None or shape.is_monitor else shape.id,
            owner=None if shape is None else shape.owner,
            wchan=detail.wchan_of(self._proc, row),
        )

    def _note_ancestors(self) -> None:
        for pid in tuple(self.processes):
            for parent in ancestors(self._rows, pid):
                if parent.pid in self.processes:
                    break
                self._note_plain(parent)
