"""A node made by hand for the tests of the join: sources, records and processes, clock fixed."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rtscope.correlate.join import join
from rtscope.model.inventory import Container, Inventory
from rtscope.model.observation import Endpoint, Gap, Node, Observation
from rtscope.model.records import (
    Bundle,
    ContainerRecord,
    Daemon,
    KubeletPod,
    OciState,
    Process,
    Sandbox,
    Shim,
    Task,
)
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import EndpointState, Layer, Reason, State, Verdict

NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
NODE = Node(
    hostname="node-1", clk_tck=100, btime=int(NOW.timestamp()) - 100_000, cgroup_mode="v2", euid=0
)
STATE = "/run/containerd"
ADDRESS = "/run/containerd/containerd.sock"
OTHER_STATE = "/run/k3s/containerd"
OTHER_ADDRESS = "/run/k3s/containerd/containerd.sock"
DATA_ROOT = "/var/lib/docker"
GRAPH = "/var/lib/containers/storage"
DOCKER = "/run/docker.sock"
SETTLED = NOW - timedelta(hours=1)

_FIELDS = {
    Bundle: "bundles",
    ContainerRecord: "containers",
    Daemon: "daemons",
    KubeletPod: "kubelet_pods",
    OciState: "oci_states",
    Process: "processes",
    Sandbox: "sandboxes",
    Shim: "shims",
    Task: "tasks",
    Gap: "gaps",
}


def hex_id(number: int) -> str:
    return f"{number:02x}" * 32


def bundle_path(state: str, namespace: str, identifier: str) -> str:
    return f"{state}/io.containerd.runtime.v2.task/{namespace}/{identifier}"


def endpoint(kind: str, address: str, **facts: Any) -> Endpoint:
    return Endpoint(
        **{"kind": kind, "address": address, "state": EndpointState.OK, "first_answer_ms": 3.0}
        | facts
    )


KERNEL = endpoint("procfs", "/proc")
SHIMS = endpoint("shim", "shims")
CONTAINERD = endpoint("containerd", ADDRESS, origin=STATE)
OTHER_CONTAINERD = endpoint("containerd", OTHER_ADDRESS, origin=OTHER_STATE)
DOCKERD = endpoint("docker", DOCKER, origin=DATA_ROOT, namespace="moby", below=ADDRESS)
CRI = endpoint("cri", ADDRESS, origin=STATE, namespace="k8s.io", below=ADDRESS)
PODMAN = endpoint("podman", "/run/podman/podman.sock", origin=GRAPH)
PODMAN_FILES = endpoint("podmanfs", GRAPH, origin=GRAPH)


def runc_root(namespace: str) -> Endpoint:
    return endpoint("oci", f"{STATE}/runc/{namespace}", namespace=namespace)


class Built:
    """Collects records by source, in any order; `seen` joins them."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.endpoints = {e.source: e for e in (KERNEL, SHIMS, *endpoints)}
        self.records: dict[str, list[Any]] = defaultdict(list)
        self._pid = 1000

    def add(self, source: Endpoint, *records: Any) -> None:
        self.endpoints.setdefault(source.source, source)
        self.records[source.source].extend(records)

    def change(self, source: Endpoint, **facts: Any) -> None:
        self.endpoints[source.source] = replace(self.endpoints[source.source], **facts)

    def forget(self, source: Endpoint) -> None:
        """The source says nothing any more."""
        self.records[source.source].clear()

    def process(self, ppid: int = 1, comm: str = "app", **facts: Any) -> ProcessKey:
        self._pid += 1
        key = ProcessKey(pid=self._pid, start=500_000 + self._pid)
        known = {"state": "S", "uid": 0, "cgroup": f"/c/{self._pid}", "is_frozen": False}
        self.add(KERNEL, Process(**{"key": key, "ppid": ppid, "comm": comm, **known, **facts}))
        return key

    def shim(self, namespace: str, identifier: str, state: str = STATE, **facts: Any) -> ProcessKey:
        key = self.process(comm="containerd-shim", cgroup="/system.slice/containerd.service")
        known = {
            "kind": "runc-v2",
            "containerd_address": f"{state}/containerd.sock",
            "bundle_dir": bundle_path(state, namespace, identifier),
            "process_state": "S",
        }
        self.add(
            KERNEL, Shim(**{"key": key, "namespace": namespace, "id": identifier, **known, **facts})
        )
        return key

    def below_containerd(
        self, namespace: str, identifier: str, state: str = STATE, **facts: Any
    ) -> tuple[ProcessKey, ProcessKey]:
        """Shim, init, bundle, task and OCI state of one running container; (shim, init)."""
        shim = facts.pop("shim", None) or self.shim(namespace, identifier, state)
        container_id = facts.pop("container_id", identifier)
        runtime = facts.pop("oci_runtime", "runc")
        init = self.process(shim.pid, container_id=container_id, shim=shim, **facts)
        ref = Ref(origin=state, namespace=namespace, id=identifier)
        path = bundle_path(state, namespace, identifier)
        root = endpoint("oci", f"{state}/{runtime}/{namespace}", namespace=namespace)
        self.add(SHIMS, Bundle(ref=ref, path=path, device=5, inode=init.pid, init_pid=init.pid))
        self.add(
            SHIMS,
            Task(ref=ref, state=State.RUNNING, state_raw="RUNNING", pid=init.pid, shim=shim),
        )
        self.add(
            root,
            OciState(ref=Ref(origin=root.address, namespace=namespace, id=identifier),
                     oci_runtime=runtime, state=State.RUNNING, pid=init.pid, pid_start=init.start,
                     bundle_dir=path),
        )  # fmt: skip
        return shim, init

    def record(self, source: Endpoint, identifier: str, **facts: Any) -> None:
        """A record of an engine, or containerd's own."""
        is_containerd = source.kind == "containerd"
        namespace = facts.pop("namespace", "default" if is_containerd else "")
        if source.kind == "cri":
            namespace = source.namespace or ""
        known = {
            "layer": Layer.CONTAINER if is_containerd else Layer.ENGINE,
            "state": None if is_containerd else State.RUNNING,
            "created_at": SETTLED,
        }
        ref = Ref(origin=source.origin or source.address, namespace=namespace, id=identifier)
        self.add(source, ContainerRecord(**{"ref": ref, **known, **facts}))

    def docker(self, identifier: str, **facts: Any) -> tuple[ProcessKey, ProcessKey]:
        """A running docker container, complete; (shim, init)."""
        below = {k: facts.pop(k) for k in ("comm", "is_frozen", "cgroup") if k in facts}
        found = self.below_containerd("moby", identifier, **below)
        self.record(CONTAINERD, identifier, namespace="moby")
        self.record(DOCKERD, identifier, **{"state_raw": "running", "name": "web", **facts})
        return found

    def ctr(self, identifier: str, namespace: str = "default", **facts: Any) -> Any:
        found = self.below_containerd(namespace, identifier, **facts)
        self.record(CONTAINERD, identifier, namespace=namespace)
        return found

    def gap(self, source: Endpoint, subject: str, missing: str, detail: str = "") -> None:
        self.add(
            source,
            Gap(source=source.source, subject=subject, missing=missing, reason=Reason.SILENT,
                detail=detail),
        )  # fmt: skip

    def observations(self, after_s: float = 0.0) -> list[Observation]:
        made = []
        for source, one in self.endpoints.items():
            parts: dict[str, list[Any]] = defaultdict(list)
            for record in self.records.get(source, ()):
                parts[_FIELDS[type(record)]].append(self._with_children(record))
            at = NOW + timedelta(seconds=after_s)
            made.append(
                Observation(
                    source=source,
                    kind=one.kind,
                    node=NODE,
                    started_at=at,
                    taken_at=at,
                    taken_boottime_ns=int((100_000 + after_s) * 1e9),
                    endpoint=one,
                    **{name: tuple(values) for name, values in parts.items()},
                )
            )
        return made

    def _with_children(self, record: Any) -> Any:
        if not isinstance(record, Shim):
            return record
        processes = [r for r in self.records[KERNEL.source] if isinstance(r, Process)]
        children = tuple(p.key.pid for p in processes if p.ppid == record.key.pid)
        return replace(record, children=children)

    def seen(self, previous: Inventory | None = None, after_s: float = 0.0) -> Inventory:
        return join(self.observations(after_s), previous)

    def rows(self) -> list[Container]:
        return list(self.seen().containers)

    def only(self) -> Container:
        """The one row that everything must have become."""
        found = self.rows()
        assert len(found) == 1, [(row.key, row.refs) for row in found]
        return found[0]


def verdicts(row: Container) -> dict[str, str]:
    return {
        str(layer): str(view.verdict)
        for layer, view in row.layers.items()
        if view.verdict is not Verdict.NOT_EXPECTED
    }


def troubles(row: Container) -> dict[str, tuple[str, str | None]]:
    """Layers whose verdict is neither ok nor not expected."""
    return {
        str(layer): (str(view.verdict), view.why)
        for layer, view in row.layers.items()
        if view.verdict not in (Verdict.OK, Verdict.NOT_EXPECTED)
    }
