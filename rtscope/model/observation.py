"""What one source said at one time."""

from datetime import datetime

from rtscope.model.facts import fact
from rtscope.model.records import (
    Bundle,
    ContainerRecord,
    Daemon,
    Event,
    Image,
    KubeletPod,
    OciState,
    Process,
    Sandbox,
    Shim,
    Task,
)
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import EndpointState, Reason


@fact
class Node:
    """The machine that an observation was made on.

    Attributes:
        clk_tck: Clock ticks per second. btime: boot, seconds since the epoch (proc_stat(5)).
        cgroup_mode: `v1`, `hybrid` or `v2`; None if unreadable.
        euid: Of the reader: tells what it was allowed to see.
    """

    hostname: str
    boot_id: str | None = None
    clk_tck: int = 100
    btime: int | None = None
    cgroup_mode: str | None = None
    euid: int = 0


@fact
class Gap:
    """Something a source could not say.

    Attributes:
        source: URL of the source, as in its observation.
        subject: What it was asked about: `daemon`, a container's id, a path.
        missing: What is not known because of it: `containers`, `pid`, …
        reason: One of ten words.
        detail: For a human: what, where, why; with the missing right where it is `denied`.
    """

    source: str
    subject: str
    missing: str
    reason: Reason
    detail: str = ""


@fact
class Endpoint:
    """A source of this node: where it is, how it was found and, once asked, how it answered.

    Attributes:
        kind: Name of the backend that reads it: `docker`, `containerd`, `cri`, `oci`, …
        address: A socket's path, a directory, or `tcp://…`.
        found_by: Every way that led here, strongest first: `listening socket`,
            `dockerd 123 --data-root`, `default path`, `DOCKER_HOST`, `--host`, …
        origin: The store behind it (Ref.origin of its records); None until known.
        namespace: containerd's namespace that belongs to it: docker's `moby`, an OCI root's.
        below: Address of the containerd that it sits on, where known.
        daemon: Who holds the listener. holder_state: that process's letter in proc_pid_stat(5).
        is_remote: Another node: never joined with this one's layers.
        is_named: The user named it: a failure counts for the exit code.
        nested_in: Pid of the init of the container that it belongs to.
        owner_uid: None for root's.
        skip: Set by discovery when it must not be dialled: the state it has instead.
        skip_detail: Why, for a human.
        queue: Connections waiting in the listener's queue.
        asked: The requests that were made.
    """

    kind: str
    address: str
    found_by: tuple[str, ...] = ()
    origin: str | None = None
    namespace: str | None = None
    below: str | None = None
    daemon: ProcessKey | None = None
    holder_state: str | None = None
    wchan: str | None = None
    is_remote: bool = False
    is_named: bool = False
    nested_in: int | None = None
    owner_uid: int | None = None
    skip: EndpointState | None = None
    skip_detail: str = ""
    version: str | None = None
    state: EndpointState = EndpointState.UNKNOWN
    connect_ms: float | None = None
    first_answer_ms: float | None = None
    queue: int | None = None
    asked: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The provenance string of its facts: `docker:///run/docker.sock`."""
        if "://" in self.address:
            return f"{self.kind}+{self.address}"
        return f"{self.kind}://{self.address}"


@fact
class Observation:
    """Everything one source said, and what it could not say.

    Attributes:
        scope: None: everything the source has. Else only these refs were asked for.
        taken_boottime_ns: CLOCK_BOOTTIME at the end: ages of processes are measured from it.
    """

    source: str
    kind: str
    node: Node
    started_at: datetime
    taken_at: datetime
    taken_boottime_ns: int
    endpoint: Endpoint
    scope: tuple[Ref, ...] | None = None
    containers: tuple[ContainerRecord, ...] = ()
    tasks: tuple[Task, ...] = ()
    sandboxes: tuple[Sandbox, ...] = ()
    bundles: tuple[Bundle, ...] = ()
    shims: tuple[Shim, ...] = ()
    oci_states: tuple[OciState, ...] = ()
    processes: tuple[Process, ...] = ()
    daemons: tuple[Daemon, ...] = ()
    kubelet_pods: tuple[KubeletPod, ...] = ()
    images: tuple[Image, ...] = ()
    events: tuple[Event, ...] = ()
    gaps: tuple[Gap, ...] = ()
