"""What one source says: the records that an observation carries.

Every record is a fact from one place. Ids are complete, instants are aware and UTC, and what a
source did not say is None, never zero and never an empty string.
"""

from collections.abc import Mapping
from datetime import datetime

from rtscope.model.facts import fact, field
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import Layer, State


@fact
class Pod:
    """The Kubernetes or podman pod that a container belongs to.

    Attributes:
        sandbox_id: The CRI sandbox or podman pod; None where only labels name the pod.
    """

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    sandbox_id: str | None = None


@fact
class ContainerRecord:
    """A container as docker, podman, CRI (layer `engine`) or containerd (`container`) records it.

    Attributes:
        layer: `engine` or `container`.
        pid: Init process; None if there is none or the source does not say.
        command: One string, as the source gives it.
        below: Address of the containerd that the engine sits on, where the source says so.
        below_namespace: containerd's namespace for it (docker: `moby`, CRI: `k8s.io`).
        is_sandbox: True for a pause container; None where the source cannot tell.
        store_uid: Owner of the store; None if root or unknown.
        is_complete: False if the record comes from a state directory while the engine is silent.
    """

    ref: Ref
    layer: Layer
    name: str | None = None
    image_ref: str | None = None
    image_id: str | None = None
    command: str | None = None
    state: State | None = None
    state_raw: str | None = None
    pid: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    oom_killed: bool | None = None
    restart_count: int | None = None
    health: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod: Pod | None = None
    attempt: int | None = None
    oci_runtime: str | None = None
    runtime_type: str | None = None
    runtime_handler: str | None = None
    bundle_dir: str | None = None
    cgroup_path: str | None = None
    snapshotter: str | None = None
    snapshot_key: str | None = None
    log_path: str | None = None
    below: str | None = None
    below_namespace: str | None = None
    is_sandbox: bool | None = None
    store_uid: int | None = None
    is_complete: bool = True


@fact
class Task:
    """The running instance of a container.

    Attributes:
        layer: `task` when a containerd or its shim's task API said it.
        pid: Init process; a stopped task keeps its last pid, which the kernel may have reused.
            Source: observed, containerd 2.1.9.
        exit_code: 0-255; None while running.
    """

    ref: Ref
    layer: Layer = Layer.TASK
    state: State = State.UNKNOWN
    state_raw: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    finished_at: datetime | None = None
    bundle_dir: str | None = None
    shim: ProcessKey | None = None


@fact
class Sandbox:
    """A CRI PodSandbox, or a podman pod.

    Attributes:
        ref: For CRI on containerd the namespace is `k8s.io`, as for its containers.
        pod_uid: The API server's uid of the pod.
        runtime_handler: CRI's name of the runtime class; None is the default.
    """

    ref: Ref
    pod_name: str | None = None
    pod_namespace: str | None = None
    pod_uid: str | None = None
    attempt: int | None = None
    state: State | None = None
    state_raw: str | None = None
    created_at: datetime | None = None
    runtime_handler: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pid: int | None = None


@fact
class KubeletPod:
    """A pod directory of the kubelet.

    Attributes:
        containers: Names of the container directories below it.
        volumes: `PLUGIN/NAME` of each volume directory.
    """

    uid: str
    name: str | None = None
    namespace: str | None = None
    path: str = ""
    containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    is_static: bool | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@fact
class Bundle:
    """The directory that a shim or a monitor runs a container from.

    Attributes:
        path: As the host sees it.
        device, inode: Of the directory: the strongest link between two records.
        init_pid: Content of `init.pid`: without a start time it proves nothing.
        shim_address: Socket of the shim: content of `address`, or of `bootstrap.json`.
        oci_runtime: Name or path of the OCI runtime's binary, from `options.json`.
        oci_root: The OCI runtime's root, from `options.json` or the shim's default.
        spec: What `config.json` adds when it was read: keys `args`, `cgroups_path`, `rootfs`,
            `hostname` and `annotation.KEY`.
    """

    ref: Ref
    path: str
    device: int | None = None
    inode: int | None = None
    init_pid: int | None = None
    shim_address: str | None = None
    shim_api: str | None = None
    oci_runtime: str | None = None
    oci_root: str | None = None
    runtime_type: str | None = None
    spec: Mapping[str, str] | None = None


@fact
class Shim:
    """A process that parents containers: a containerd shim, or conmon.

    Attributes:
        kind: `runc-v2`, `runc-v1`, `linux-v1`, `runsc-v1`, `kata-v2`, …, `conmon`, `conmonrs`.
        id: Of `-id`, `-c`: the container, or the sandbox of a pod.
        containerd_address: Of `-address`; None for monitors.
        name: conmon's `-n`.
        oci_runtime: conmon's `-r`; None for shims.
        oci_root: conmon's `--runtime-arg --root=…` or what its runtime's arguments say.
        graph_root, run_root: podman's, from conmon's exit command.
        process_state: Letter of proc_pid_stat(5), field 3.
        wchan: Kernel function it sleeps in, for T and D; None where unreadable.
        children: Pids of its children, when scanned.
        is_verified: False where executable and namespaces could not be read.
        nested_in: Pid of the container's init that it runs in; None on the host.
        uid: Real user.
    """

    key: ProcessKey
    kind: str
    namespace: str | None = None
    id: str | None = None
    containerd_address: str | None = None
    bundle_dir: str | None = None
    name: str | None = None
    oci_runtime: str | None = None
    oci_root: str | None = None
    graph_root: str | None = None
    run_root: str | None = None
    log_path: str | None = None
    exit_dir: str | None = None
    pid_file: str | None = None
    process_state: str = "?"
    wchan: str | None = None
    exe: str | None = None
    uid: int = 0
    children: tuple[int, ...] = ()
    is_verified: bool = True
    nested_in: int | None = None


@fact
class OciState:
    """The state file of one container in an OCI runtime's root.

    Attributes:
        oci_runtime: `runc`, `crun`, `youki` or `runsc`: told by the files, not the folder.
        state: Derived from the file and /proc; not the file's own word.
        state_raw: The file's own word, where it has one.
        pid_start: Clock ticks since boot; None for youki, which does not record it.
        owner_uid: Owner of the state directory.
        sandbox_id: runsc: the sandbox it runs in.
    """

    ref: Ref
    oci_runtime: str
    state: State = State.UNKNOWN
    state_raw: str | None = None
    pid: int | None = None
    pid_start: int | None = None
    bundle_dir: str | None = None
    rootfs: str | None = None
    created_at: datetime | None = None
    cgroup_path: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner_uid: int | None = None
    sandbox_id: str | None = None


@fact
class Process:
    """A process of a container, of a daemon, or an ancestor of one.

    Attributes:
        key: Host pid and start time.
        state: Letter of proc_pid_stat(5), field 3.
        cmdline: None where it was not or could not be read (never read in state D).
        cgroup: The path that tells most: of the deepest hierarchy; None if unreadable.
        ns_pids: From NSpid of proc_pid_status(5), host first; empty if not read.
        mount_namespace, pid_namespace: Inode numbers; None if unreadable.
        container_id: The id that the cgroup path names, if any.
        shim: The nearest ancestor that is a shim or monitor.
        owner: What the cgroup says it belongs to: `docker`, `cri`, `containerd`, `podman`, `crio`,
            `kubelet`, `lxc`, `nspawn`, `buildkit`, …; None for none.
        is_frozen: Of its freezer cgroup; None if unknown.
    """

    key: ProcessKey
    ppid: int
    comm: str
    state: str
    uid: int | None = None
    cmdline: tuple[str, ...] | None = None
    exe: str | None = None
    cgroup: str | None = None
    ns_pids: tuple[int, ...] = ()
    mount_namespace: int | None = None
    pid_namespace: int | None = None
    container_id: str | None = None
    shim: ProcessKey | None = None
    owner: str | None = None
    is_frozen: bool | None = None
    wchan: str | None = None


@fact
class Daemon:
    """A daemon of the node, recognised from /proc.

    Attributes:
        kind: `dockerd containerd crio cri-dockerd podman k3s kubelet buildkitd lxc incus`.
        args: Its command line.
        options: What its arguments and configuration say: `address`, `root`, `state`, `exec_root`,
            `containerd`, `containerd_namespace`, `config`, …
        nested_in: Pid of the init of the container that it runs in; None on the host.
        is_verified: False where executable and namespaces could not be read.
    """

    key: ProcessKey
    kind: str
    args: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    exe: str | None = None
    uid: int | None = None
    process_state: str = "?"
    wchan: str | None = None
    nested_in: int | None = None
    is_verified: bool = True


@fact
class Image:
    """An image as one store names it.

    Attributes:
        image_id: Config digest. image_digest: manifest digest.
        size_bytes: As the store counts it.
    """

    ref: Ref
    image_ref: str | None = None
    image_id: str | None = None
    image_digest: str | None = None
    size_bytes: int | None = None
    created_at: datetime | None = None


@fact
class Event:
    """Something that a source saw happen.

    Attributes:
        action: The source's own word.
    """

    at: datetime
    action: str
    subject: Ref | None = None
    detail: Mapping[str, str] = field(default_factory=dict)
