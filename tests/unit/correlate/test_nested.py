"""Engines inside containers: rows of their own, in the words and pids of the node."""

from rtscope.model.observation import Endpoint
from rtscope.model.records import Shim
from rtscope.model.state import Engine, State, Verdict
from tests.unit.correlate.build import DOCKERD, KERNEL, Built, bundle_path, endpoint, hex_id

C = hex_id(1)
OUTER = 1001


def nested(kind: str, address: str, origin: str) -> Endpoint:
    return endpoint(kind, address, origin=f"/proc/{OUTER}/root{origin}", nested_in=OUTER)


def inner_node(identifier: str, namespace: str) -> tuple[Built, int]:
    """A container whose processes are a shim and, below it, an inner container's init."""
    node = Built()
    outer = node.process(comm="init")
    assert outer.pid == OUTER
    shim = node.process(outer.pid, comm="containerd-shim")
    node.add(
        KERNEL,
        Shim(key=shim, kind="runc-v2", namespace=namespace, id=identifier, process_state="S",
             bundle_dir=bundle_path("/run/containerd", namespace, identifier), nested_in=OUTER),
    )  # fmt: skip
    init = node.process(
        shim.pid, container_id=identifier, shim=shim, ns_pids=(1003, 77, 1), cgroup="/x"
    )
    return node, init.pid


def test_nested_record_and_its_shim_are_one_row() -> None:
    """The daemon is seen through /proc/PID/root, its shim says what it sees itself."""
    node, pid = inner_node("inner", "default")
    containerd = nested(
        "containerd", f"/proc/{OUTER}/root/run/containerd/containerd.sock", "/run/containerd"
    )
    node.record(containerd, "inner", namespace="default")
    row = node.only()
    assert (row.nested_in, row.pid, row.namespace) == (str(OUTER), pid, "default")
    assert row.endpoint == f"/proc/{OUTER}/root/run/containerd/containerd.sock"


def test_nested_shim_alone_tells_the_namespace() -> None:
    node, _ = inner_node("inner", "default")
    row = node.only()
    assert (row.engine, row.namespace, row.id) == (Engine.CONTAINERD, "default", "inner")
    assert row.verdict is Verdict.UNKNOWN


def test_pid_that_a_nested_engine_records_is_translated() -> None:
    node, pid = inner_node(C, "moby")
    docker = nested("docker", f"/proc/{OUTER}/root/run/docker.sock", "/var/lib/docker")
    node.record(docker, C, pid=77, state_raw="running", name="deep")
    row = node.only()
    assert row.name == "deep"
    assert [claim.pid for claim in row.layers["engine"].claims] == [pid]
    assert row.verdict is not Verdict.DIFFERS


def test_pid_that_a_nested_engine_records_is_no_pid_of_the_node() -> None:
    node = Built()
    node.process(pid_namespace=1)
    docker = nested("docker", f"/proc/{OUTER}/root/run/docker.sock", "/var/lib/docker")
    node.record(docker, C, pid=1001, state=State.RUNNING, state_raw="running")
    row = node.only()
    assert row.pid is None
    assert [claim.pid for claim in row.layers["engine"].claims] == [None]


def test_nested_docker_with_roots_id_stays_apart() -> None:
    node = Built(DOCKERD)
    node.record(DOCKERD, C, state=State.STOPPED, state_raw="exited")
    docker = nested("docker", f"/proc/{OUTER}/root/run/docker.sock", "/var/lib/docker")
    node.record(docker, C, state=State.STOPPED, state_raw="exited")
    assert sorted(row.nested_in or "" for row in node.rows()) == ["", str(OUTER)]
