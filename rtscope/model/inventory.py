"""The join of all observations: the node as it stood."""

from collections.abc import Mapping
from datetime import datetime

from rtscope.model.facts import fact, field
from rtscope.model.observation import Endpoint, Gap, Node
from rtscope.model.records import Daemon, KubeletPod, Pod, Process, Sandbox, Shim
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import Engine, Layer, State, Verdict


@fact
class Claim:
    """What one source says of one container at one layer."""

    source: str
    state: State | None = None
    state_raw: str | None = None
    pid: int | None = None
    pid_start: int | None = None
    exit_code: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@fact
class LayerView:
    """One layer of one container: its claims, and the verdict on them.

    Attributes:
        why: For a human, where the verdict is not `ok`: what differs, who did not answer.
    """

    verdict: Verdict
    claims: tuple[Claim, ...] = ()
    why: str | None = None


@fact(eq=False)
class Container:
    """One real container, with what every layer says of it.

    Attributes:
        key: Given at first sight and kept through `previous`: the row's identity in a view.
        refs: Every record that was merged into it.
        state: The kernel's where processes were read; see docs/architecture.md.
        state_raw: The highest layer's own word.
        pid: The live init, or None.
        shim_key: The shim or monitor, live.
        processes: Live processes of it, init first.
        is_sandbox: A pause container: a row only when sandboxes are asked for.
        nested_in: Key of the container that it runs in, or the pid of that one's init.
        uid: Owner of the store, None for root.
        stale_s: Seconds since a source that is now silent said what is shown here; None if fresh.
        problem: The `why` of its worst layer; None without one.
    """

    key: str
    id: str
    name: str | None
    engine: Engine
    verdict: Verdict
    origin: str
    namespace: str | None = None
    endpoint: str | None = None
    refs: tuple[Ref, ...] = ()
    image_ref: str | None = None
    image_id: str | None = None
    command: str | None = None
    state: State = State.UNKNOWN
    state_raw: str | None = None
    pid: int | None = None
    pid_start: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    oom_killed: bool | None = None
    restart_count: int | None = None
    health: str | None = None
    oci_runtime: str | None = None
    runtime_type: str | None = None
    shim_pid: int | None = None
    shim_key: ProcessKey | None = None
    bundle_dir: str | None = None
    cgroup_path: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    pod: Pod | None = None
    nested_in: str | None = None
    uid: int | None = None
    log_path: str | None = None
    is_sandbox: bool = False
    processes: tuple[ProcessKey, ...] = ()
    layers: Mapping[Layer, LayerView] = field(default_factory=dict)
    problem: str | None = None
    stale_s: float | None = None

    @property
    def has_problem(self) -> bool:
        """Whether a layer that should know it does not, or says something else."""
        return self.verdict in (Verdict.DIFFERS, Verdict.MISSING)


@fact(eq=False)
class Inventory:
    """The node as it stood.

    Attributes:
        recorded_at: Set when the observations were read from a file; None when live.
        containers: Sandboxes included (is_sandbox); the renderers choose.
        processes: By pid; processes of containers, daemons, shims and their ancestors.
        endpoints: Every source, with how it answered.
        is_demo: The recording that ships with the package.
    """

    node: Node
    taken_at: datetime
    taken_boottime_ns: int
    recorded_at: datetime | None = None
    is_demo: bool = False
    containers: tuple[Container, ...] = ()
    sandboxes: tuple[Sandbox, ...] = ()
    daemons: tuple[Daemon, ...] = ()
    shims: tuple[Shim, ...] = ()
    kubelet_pods: tuple[KubeletPod, ...] = ()
    processes: Mapping[int, Process] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    gaps: tuple[Gap, ...] = ()
