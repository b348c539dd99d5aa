"""A healthy node of any size, as observations: for tests of the join, the renderers and the view.

Deterministic: the same number gives the same node. A quarter each of docker, ctr, CRI pods (two
containers a pod) and podman; every tenth container has exited.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rtscope.model.observation import Endpoint, Node, Observation
from rtscope.model.records import (
    Bundle,
    ContainerRecord,
    Daemon,
    OciState,
    Pod,
    Process,
    Sandbox,
    Shim,
    Task,
)
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import EndpointState, Layer, State

TAKEN_AT = datetime(2026, 11, 27, 3, 0, 0, tzinfo=UTC)
BOOT_AGE_S = 864_000
NODE = Node(
    hostname="node-7",
    boot_id="8a1c2f0e-1111-4222-8333-444455556666",
    clk_tck=100,
    btime=int(TAKEN_AT.timestamp()) - BOOT_AGE_S,
    cgroup_mode="v2",
    euid=0,
)
DOCKER, CONTAINERD = "/run/docker.sock", "/run/containerd/containerd.sock"
DATA_ROOT, STATE, GRAPH = "/var/lib/docker", "/run/containerd", "/var/lib/containers/storage"
_WORDS = ("web", "api", "cache", "queue", "worker", "db", "proxy", "cron")


def hex_id(*words: object) -> str:
    return hashlib.sha256("/".join(map(str, words)).encode()).hexdigest()


@dataclass
class _Node:
    records: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    pid: int = 2000

    def add(self, source: str, name: str, record: Any) -> None:
        self.records.setdefault(source, {}).setdefault(name, []).append(record)

    def process(self, ppid: int, comm: str, cgroup: str, **facts: Any) -> ProcessKey:
        self.pid += 1
        key = ProcessKey(pid=self.pid, start=1_000_000 + self.pid * 10)
        cmdline = facts.pop("cmdline", (comm,))
        self.add(
            "procfs",
            "processes",
            Process(key=key, ppid=ppid, comm=comm, state="S", uid=0, cmdline=cmdline,
                    cgroup=cgroup, is_frozen=False, **facts),
        )  # fmt: skip
        return key


def _live(
    node: _Node, namespace: str, identifier: str, cgroup: str, shim: ProcessKey | None, root: str
) -> tuple[ProcessKey, ProcessKey]:
    """Shim, init and a child, bundle, task and OCI state of one running container."""
    path = f"{STATE}/io.containerd.runtime.v2.task/{namespace}/{identifier}"
    if shim is None:
        shim = node.process(1, "containerd-shim", "/system.slice/containerd.service")
        node.add(
            "procfs",
            "shims",
            Shim(key=shim, kind="runc-v2", namespace=namespace, id=identifier,
                 containerd_address=CONTAINERD, bundle_dir=path, process_state="S"),
        )  # fmt: skip
    is_hex = len(identifier) == 64
    facts = {"container_id": identifier if is_hex else None, "shim": shim}
    init = node.process(shim.pid, "nginx", cgroup, cmdline=("nginx", "-g", "daemon off;"), **facts)
    node.process(init.pid, "nginx", cgroup, cmdline=("nginx: worker process",), **facts)
    ref = Ref(origin=STATE, namespace=namespace, id=identifier)
    node.add(
        "shim",
        "bundles",
        Bundle(ref=ref, path=path, device=24, inode=init.pid, init_pid=init.pid,
               runtime_type="io.containerd.runc.v2"),
    )  # fmt: skip
    node.add(
        "shim",
        "tasks",
        Task(ref=ref, state=State.RUNNING, state_raw="running", pid=init.pid, bundle_dir=path,
             shim=shim),
    )  # fmt: skip
    node.add(
        f"oci:{root}",
        "oci_states",
        OciState(ref=Ref(origin=root, namespace=namespace, id=identifier), oci_runtime="runc",
                 state=State.RUNNING, pid=init.pid, pid_start=init.start, bundle_dir=path),
    )  # fmt: skip
    return shim, init


def _containerd_record(node: _Node, namespace: str, identifier: str, **facts: Any) -> None:
    node.add(
        "containerd",
        "containers",
        ContainerRecord(ref=Ref(origin=STATE, namespace=namespace, id=identifier),
                        layer=Layer.CONTAINER, runtime_type="io.containerd.runc.v2", **facts),
    )  # fmt: skip


def _docker(node: _Node, number: int, name: str, age: timedelta) -> None:
    identifier, is_over = hex_id("docker", number), number % 10 == 9
    if not is_over:
        _live(node, "moby", identifier, f"/system.slice/docker-{identifier}.scope", None,
              "/run/docker/runtime-runc/moby")  # fmt: skip
        _containerd_record(node, "moby", identifier)
    node.add(
        "docker",
        "containers",
        ContainerRecord(
            ref=Ref(origin=DATA_ROOT, namespace="", id=identifier), layer=Layer.ENGINE, name=name,
            image_ref=f"shop/{name.rsplit('-', 1)[0]}:1.{number}", command="nginx -g 'daemon off;'",
            state=State.STOPPED if is_over else State.RUNNING,
            state_raw="exited" if is_over else "running", created_at=TAKEN_AT - age,
            exit_code=(137 if number % 20 == 19 else 0) if is_over else None,
            finished_at=TAKEN_AT - age / 2 if is_over else None, restart_count=number % 3,
            labels={"com.docker.compose.project": f"shop-{number % 3}"},
            below=CONTAINERD, below_namespace="moby",
        ),
    )  # fmt: skip


def _ctr(node: _Node, number: int, name: str, age: timedelta) -> None:
    identifier, is_over = f"{name}-ctr", number % 10 == 9
    _containerd_record(
        node, "default", identifier, image_ref="docker.io/library/redis:7",
        created_at=TAKEN_AT - age,
    )  # fmt: skip
    if not is_over:
        _live(node, "default", identifier, f"/default/{identifier}", None,
              "/run/containerd/runc/default")  # fmt: skip


def _cri(node: _Node, number: int, name: str, age: timedelta) -> None:
    sandbox = hex_id("pod", number // 8)
    pod_name = f"shop-{number // 8}"
    pod = Pod(name=pod_name, namespace="prod", uid=f"uid-{number // 8}", sandbox_id=sandbox)
    slice_ = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{number // 8}.slice"
    root = "/run/containerd/runc/k8s.io"
    shims: dict[str, ProcessKey] = node.__dict__.setdefault("pod_shims", {})
    if sandbox not in shims:
        shims[sandbox], _ = _live(
            node, "k8s.io", sandbox, f"{slice_}/cri-containerd-{sandbox}.scope", None, root
        )
        _containerd_record(
            node, "k8s.io", sandbox, labels={"io.cri-containerd.kind": "sandbox"}, is_sandbox=True
        )
        node.add(
            "cri",
            "sandboxes",
            Sandbox(ref=Ref(origin=STATE, namespace="k8s.io", id=sandbox), pod_name=pod_name,
                    pod_namespace="prod", pod_uid=pod.uid, attempt=0, state=State.RUNNING,
                    state_raw="SANDBOX_READY", created_at=TAKEN_AT - age),
        )  # fmt: skip
    identifier = hex_id("cri", number)
    _live(node, "k8s.io", identifier, f"{slice_}/cri-containerd-{identifier}.scope",
          shims[sandbox], root)  # fmt: skip
    _containerd_record(node, "k8s.io", identifier, labels={"io.cri-containerd.kind": "container"})
    node.add(
        "cri",
        "containers",
        ContainerRecord(
            ref=Ref(origin=STATE, namespace="k8s.io", id=identifier), layer=Layer.ENGINE,
            name=name, image_ref=f"registry.example/{name}:2", state=State.RUNNING,
            state_raw="CONTAINER_RUNNING", created_at=TAKEN_AT - age, pod=pod, attempt=0,
            restart_count=0, labels={"io.kubernetes.pod.name": pod_name},
        ),
    )  # fmt: skip


def _podman(node: _Node, number: int, name: str, age: timedelta) -> None:
    identifier, is_over = hex_id("podman", number), number % 10 == 9
    bundle = f"{GRAPH}/overlay-containers/{identifier}/userdata"
    if not is_over:
        conmon = node.process(1, "conmon", f"/machine.slice/libpod-conmon-{identifier}.scope")
        cgroup = f"/machine.slice/libpod-{identifier}.scope"
        init = node.process(conmon.pid, "postgres", cgroup, container_id=identifier, shim=conmon)
        node.add(
            "procfs",
            "shims",
            Shim(key=conmon, kind="conmon", id=identifier, bundle_dir=bundle, name=name,
                 graph_root=GRAPH, oci_runtime="/usr/bin/crun", process_state="S"),
        )  # fmt: skip
        node.add(
            "oci:/run/crun",
            "oci_states",
            OciState(ref=Ref(origin="/run/crun", namespace="", id=identifier), oci_runtime="crun",
                     state=State.RUNNING, pid=init.pid, pid_start=init.start, bundle_dir=bundle),
        )  # fmt: skip
    node.add(
        "podman",
        "containers",
        ContainerRecord(
            ref=Ref(origin=GRAPH, namespace="", id=identifier), layer=Layer.ENGINE, name=name,
            image_ref="docker.io/library/postgres:16", command="postgres",
            state=State.STOPPED if is_over else State.RUNNING,
            state_raw="exited" if is_over else "running", created_at=TAKEN_AT - age,
            exit_code=1 if is_over else None, restart_count=0,
        ),
    )  # fmt: skip


_MAKERS = (_docker, _ctr, _cri, _podman)


def generated_observations(count: int) -> tuple[Observation, ...]:
    """A node of about `count` containers, pause containers not counted; the kernel's first."""
    node = _Node()
    daemons = {
        kind: node.process(1, kind, f"/system.slice/{kind}.service")
        for kind in ("dockerd", "containerd")
    }
    for kind, key in daemons.items():
        node.add("procfs", "daemons", Daemon(key=key, kind=kind, args=(kind,), process_state="S"))
    for number in range(count):
        word = _WORDS[number % len(_WORDS)]
        age = timedelta(minutes=7 * number + 3)
        _MAKERS[number % len(_MAKERS)](node, number // len(_MAKERS), f"{word}-{number}", age)
    return tuple(_observations(node, daemons))


def _observations(node: _Node, daemons: dict[str, ProcessKey]) -> Iterator[Observation]:
    endpoints = {
        "procfs": Endpoint(kind="procfs", address="/proc"),
        "docker": Endpoint(kind="docker", address=DOCKER, origin=DATA_ROOT, namespace="moby",
                           below=CONTAINERD, daemon=daemons["dockerd"], version="28.5.2"),
        "containerd": Endpoint(kind="containerd", address=CONTAINERD, origin=STATE,
                               daemon=daemons["containerd"], version="2.1.9"),
        "cri": Endpoint(kind="cri", address=CONTAINERD, origin=STATE, namespace="k8s.io",
                        below=CONTAINERD, daemon=daemons["containerd"], version="2.1.9"),
        "podman": Endpoint(kind="podman", address="/run/podman/podman.sock", origin=GRAPH,
                           version="5.8.6"),
        "shim": Endpoint(kind="shim", address="shims"),
    }  # fmt: skip
    for name in node.records:
        if name.startswith("oci:"):
            endpoints[name] = Endpoint(kind="oci", address=name.removeprefix("oci:"))
    for name, endpoint in endpoints.items():
        is_daemon = name in ("docker", "containerd", "cri", "podman")
        answered = Endpoint(
            **{
                **{f: getattr(endpoint, f) for f in endpoint.__match_args__},
                "state": EndpointState.OK,
                "found_by": ("listening socket",) if is_daemon else ("default path",),
                "connect_ms": 0.2 if is_daemon else None,
                "first_answer_ms": 3.0 if is_daemon else None,
                "queue": 0 if is_daemon else None,
            }
        )
        yield Observation(
            source=answered.source,
            kind=answered.kind,
            node=NODE,
            started_at=TAKEN_AT - timedelta(milliseconds=80),
            taken_at=TAKEN_AT,
            taken_boottime_ns=BOOT_AGE_S * 1_000_000_000,
            endpoint=answered,
            **{key: tuple(values) for key, values in node.records.get(name, {}).items()},
        )
