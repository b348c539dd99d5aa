"""Small inventories for the tests of render and cli: containers made by hand, clock fixed."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rtscope.model.inventory import Claim, Container, Inventory, LayerView
from rtscope.model.observation import Endpoint, Gap, Node
from rtscope.model.records import Pod, Shim
from rtscope.model.refs import ProcessKey
from rtscope.model.state import EndpointState, Engine, Layer, Reason, State, Verdict

NOW = datetime(2026, 11, 27, 4, 10, tzinfo=UTC)

DOCKER_LAYERS = (
    Layer.ENGINE,
    Layer.CONTAINER,
    Layer.TASK,
    Layer.SHIM,
    Layer.OCI,
    Layer.PROCESS,
    Layer.CGROUP,
)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def hex_id(number: int) -> str:
    return f"{number:064x}"[::-1]


def layers(known: Iterable[Layer] = DOCKER_LAYERS, **verdicts: Verdict) -> dict[Layer, LayerView]:
    views = {layer: LayerView(verdict=Verdict.OK) for layer in known}
    views[Layer.ENGINE] = replace(
        views.get(Layer.ENGINE, LayerView(verdict=Verdict.OK)),
        claims=(Claim(source="docker:///run/docker.sock", state=State.RUNNING, pid=101),),
    )
    for name, verdict in verdicts.items():
        views[Layer(name)] = LayerView(verdict=verdict, why=f"{name} says otherwise")
    return views


def container(number: int = 1, **changes: Any) -> Container:
    verdict = changes.pop("verdict", Verdict.OK)
    facts: dict[str, Any] = {
        "key": f"k{number}",
        "id": hex_id(number),
        "name": f"web-{number}",
        "engine": Engine.DOCKER,
        "verdict": verdict,
        "origin": "/var/lib/docker",
        "namespace": "moby",
        "endpoint": "docker:///run/docker.sock",
        "image_ref": "nginx:1.27",
        "state": State.RUNNING,
        "state_raw": "running",
        "pid": 100 + number,
        "created_at": ago(hours=number + 1),
        "started_at": ago(hours=number),
        "restart_count": 0,
        "oci_runtime": "runc",
        "shim_pid": 50 + number,
        "layers": layers(),
    }
    return Container(**{**facts, **changes})


def inventory(containers: Iterable[Container] = (), **changes: Any) -> Inventory:
    facts: dict[str, Any] = {
        "node": Node(hostname="node-1"),
        "taken_at": NOW,
        "taken_boottime_ns": 10**15,
        "containers": tuple(containers),
        "endpoints": (docker(), containerd()),
    }
    return Inventory(**{**facts, **changes})


def docker(**changes: Any) -> Endpoint:
    facts: dict[str, Any] = {
        "kind": "docker",
        "address": "/run/docker.sock",
        "found_by": ("listening socket", "default path"),
        "origin": "/var/lib/docker",
        "below": "/run/containerd/containerd.sock",
        "daemon": ProcessKey(pid=900, start=9000),
        "version": "28.5.2",
        "state": EndpointState.OK,
        "connect_ms": 0.2,
        "first_answer_ms": 3.4,
        "queue": 0,
        "asked": ("GET /version", "GET /containers/json"),
    }
    return Endpoint(**{**facts, **changes})


def containerd(**changes: Any) -> Endpoint:
    facts: dict[str, Any] = {
        "kind": "containerd",
        "address": "/run/containerd/containerd.sock",
        "found_by": ("dockerd 900 --containerd",),
        "origin": "/run/containerd",
        "daemon": ProcessKey(pid=800, start=8000),
        "version": "2.1.4",
        "state": EndpointState.OK,
        "connect_ms": 0.1,
        "first_answer_ms": 12.0,
        "queue": 0,
    }
    return Endpoint(**{**facts, **changes})


def gap(**changes: Any) -> Gap:
    facts: dict[str, Any] = {
        "source": "shim://shims",
        "subject": hex_id(7),
        "missing": "task",
        "reason": Reason.SILENT,
        "detail": "shim 57: no answer within 500 ms",
    }
    return Gap(**{**facts, **changes})


def population() -> Inventory:
    """One of each kind that reads differently in a table."""
    k8s = {"namespace": "k8s.io", "origin": "/run/containerd", "endpoint": "cri:///run/c.sock"}
    every = (
        container(1),
        container(
            2,
            name="db",
            image_ref="registry.test/team/postgres@sha256:" + "ab" * 32,
            verdict=Verdict.DIFFERS,
            problem="dockerd says running, the init is gone",
            layers=layers(engine=Verdict.DIFFERS, process=Verdict.MISSING),
            state=State.STOPPED,
            pid=None,
            exit_code=137,
            oom_killed=True,
            finished_at=ago(minutes=5),
        ),
        container(
            3,
            name="worker",
            verdict=Verdict.UNKNOWN,
            problem="the shim does not answer",
            layers=layers(task=Verdict.UNKNOWN),
            restart_count=12,
            health="unhealthy",
        ),
        container(
            4,
            name="job",
            state=State.STOPPED,
            state_raw="exited",
            pid=None,
            shim_pid=None,
            exit_code=0,
            finished_at=ago(days=3),
            layers=layers((Layer.ENGINE, Layer.CONTAINER)),
        ),
        container(
            5,
            name="api",
            engine=Engine.CRI,
            state_raw="CONTAINER_RUNNING",
            pod=Pod(name="api-7d9f", namespace="shop", uid="u-1", sandbox_id=hex_id(6)),
            labels={"app": "api", "tier": "front"},
            **k8s,
        ),
        container(
            6,
            name="api-7d9f",
            engine=Engine.CRI,
            is_sandbox=True,
            pod=Pod(name="api-7d9f", namespace="shop", uid="u-1", sandbox_id=hex_id(6)),
            **k8s,
        ),
        container(
            7,
            id="bare",
            name=None,
            engine=Engine.OCI,
            origin="/run/runc",
            namespace=None,
            endpoint="oci:///run/runc",
            image_ref=None,
            restart_count=None,
            shim_pid=None,
            state_raw=None,
            layers=layers((Layer.OCI, Layer.PROCESS, Layer.CGROUP), engine=Verdict.NOT_EXPECTED),
        ),
    )
    shims = (
        Shim(key=ProcessKey(pid=53, start=1), kind="runc-v2", process_state="T"),
        Shim(key=ProcessKey(pid=51, start=1), kind="runc-v2", process_state="S"),
    )
    return inventory(every, shims=shims, gaps=(gap(),))
