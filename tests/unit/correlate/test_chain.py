"""The chain as a tree."""

from dataclasses import replace
from typing import Any

from rtscope.correlate.chain import tree
from rtscope.correlate.join import join
from rtscope.correlate.nodes import TreeNode
from rtscope.model.records import Daemon, Pod, Shim
from rtscope.model.state import EndpointState, State, Verdict
from tests.generate import generated_observations
from tests.unit.correlate.build import (
    CONTAINERD,
    CRI,
    DOCKERD,
    KERNEL,
    OTHER_STATE,
    PODMAN,
    STATE,
    Built,
    endpoint,
    hex_id,
)

C, D = hex_id(1), hex_id(2)


class Drawn:
    """A tree, to be asked about paths."""

    def __init__(self, node: Built) -> None:
        self.nodes = {one.key: one for one in tree(node.seen())}

    def path(self, node: TreeNode) -> list[str]:
        """`kind name` from the root down to a node."""
        words = []
        at: TreeNode | None = node
        while at is not None:
            words.append(f"{at.kind} {at.name}")
            at = self.nodes.get(at.parent) if at.parent else None
        return words[::-1]

    def of(self, identifier: str) -> TreeNode:
        (found,) = [n for n in self.nodes.values() if n.kind == "container" and n.id == identifier]
        return found

    def kinds(self, kind: str) -> list[TreeNode]:
        return [node for node in self.nodes.values() if node.kind == kind]


def test_docker_hangs_below_dockerd_and_its_containerd() -> None:
    node = Built(DOCKERD, CONTAINERD)
    _, init = node.docker(C)
    node.process(init.pid, comm="worker", container_id=C)
    drawn = Drawn(node)
    assert drawn.path(drawn.of(C)) == [
        "node node-1", "daemon dockerd", "daemon containerd", "namespace moby",
        "shim shim runc-v2", "container web",
    ]  # fmt: skip
    worker = next(n for n in drawn.kinds("process") if n.name == "worker")
    assert drawn.path(worker)[-2:] == ["process app", "process worker"]
    assert worker.container == drawn.of(C).container


def test_stopped_docker_container_hangs_below_dockerd_itself() -> None:
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, name="old", state=State.STOPPED, state_raw="exited")
    drawn = Drawn(node)
    assert drawn.path(drawn.of(C)) == ["node node-1", "daemon dockerd", "container old"]
    assert drawn.of(C).state == "stopped"


def test_ctr_container_hangs_below_its_namespace_and_shim() -> None:
    node = Built(CONTAINERD)
    node.ctr("c1", "default")
    node.ctr("c1", "build")
    drawn = Drawn(node)
    paths = {tuple(drawn.path(n)) for n in drawn.kinds("container")}
    assert paths == {
        ("node node-1", "daemon containerd", f"namespace {name}", "shim shim runc-v2",
         "container c1")
        for name in ("default", "build")
    }  # fmt: skip


def test_pod_shows_its_containers_as_siblings_below_one_shim() -> None:
    node = Built(CONTAINERD, CRI)
    pod = Pod(name="shop", namespace="prod", sandbox_id=C)
    shim, _ = node.below_containerd("k8s.io", C)
    node.below_containerd("k8s.io", D, shim=shim)
    for identifier in (C, D):
        node.record(CONTAINERD, identifier, namespace="k8s.io", pod=pod)
    node.record(CRI, D, name="app", pod=pod)
    drawn = Drawn(node)
    above = ["node node-1", "daemon containerd", "namespace k8s.io", "pod prod/shop",
             "shim shim runc-v2"]  # fmt: skip
    assert drawn.path(drawn.of(D)) == [*above, "container app"]
    assert drawn.of(C).parent == drawn.of(D).parent
    assert len(drawn.kinds("shim")) == 1


def test_podman_container_hangs_below_its_monitor() -> None:
    node = Built(PODMAN)
    monitor = node.process(comm="conmon")
    node.process(monitor.pid, container_id=C, shim=monitor)
    node.add(KERNEL, Shim(key=monitor, kind="conmon", id=C, name="db", graph_root=PODMAN.origin))
    node.record(PODMAN, C, name="db", state_raw="running")
    drawn = Drawn(node)
    assert drawn.path(drawn.of(C)) == [
        "node node-1", "daemon podman", "shim conmon", "container db",
    ]  # fmt: skip


def test_containers_of_a_dead_daemon_keep_a_place() -> None:
    node = Built()
    node.below_containerd("default", "c1", OTHER_STATE)
    drawn = Drawn(node)
    above = drawn.nodes[drawn.nodes[drawn.of("c1").parent or ""].parent or ""]
    daemon = drawn.nodes[above.parent or ""]
    assert (daemon.kind, daemon.name, daemon.state) == ("daemon", "containerd", "absent")
    assert daemon.detail == OTHER_STATE


def test_container_of_a_silent_dockerd_hangs_below_that_dockerd() -> None:
    """Nobody could read its record: the bundle says containerd, the link says dockerd."""
    node = Built(replace(DOCKERD, state=EndpointState.STOPPED), CONTAINERD)
    node.docker(C)
    node.forget(DOCKERD)
    drawn = Drawn(node)
    assert drawn.path(drawn.of(C))[:3] == [
        "node node-1", "daemon dockerd", "daemon containerd",
    ]  # fmt: skip
    dockerd = next(n for n in drawn.kinds("daemon") if n.name == "dockerd")
    assert (dockerd.state, dockerd.verdict) == ("stopped", Verdict.UNKNOWN)


def test_daemon_shows_state_version_and_latency() -> None:
    node = Built(replace(CONTAINERD, version="2.1.9", first_answer_ms=4.4))
    key = node.process(comm="containerd")
    node.add(KERNEL, Daemon(key=key, kind="containerd"))
    node.change(CONTAINERD, daemon=key)
    (daemon,) = Drawn(node).kinds("daemon")
    assert (daemon.pid, daemon.pid_start, daemon.state) == (key.pid, key.start, "ok")
    assert daemon.detail == f"2.1.9 {CONTAINERD.address} 4 ms"


def test_another_node_is_a_root_of_its_own() -> None:
    far = endpoint("docker", "tcp://far:2375", is_remote=True)
    node = Built(DOCKERD, far)
    node.record(far, C, name="there", state_raw="running")
    drawn = Drawn(node)
    assert [n.name for n in drawn.nodes.values() if n.parent is None] == [
        "node-1", "tcp://far:2375",
    ]  # fmt: skip
    assert drawn.path(drawn.of(C)) == [
        "node tcp://far:2375", "daemon dockerd", "container there",
    ]  # fmt: skip


def test_engine_in_a_container_hangs_below_that_container() -> None:
    node = Built(DOCKERD, CONTAINERD)
    _, outer = node.docker(C, name="dind")
    inner = endpoint(
        "docker", f"/proc/{outer.pid}/root/run/docker.sock", nested_in=outer.pid,
        origin=f"/proc/{outer.pid}/root/var/lib/docker",
    )  # fmt: skip
    node.record(inner, D, name="deep", state=State.STOPPED, state_raw="exited")
    drawn = Drawn(node)
    assert drawn.path(drawn.of(D))[-3:] == [
        "container dind", "daemon dockerd", "container deep",
    ]  # fmt: skip


def test_orphan_hangs_below_no_engine() -> None:
    node = Built(DOCKERD)
    node.process(container_id=C, cgroup=f"/docker/{C}", owner="docker")
    drawn = Drawn(node)
    assert drawn.path(drawn.of(C))[1] == "daemon no engine knows these"


def test_sick_shim_is_marked_with_the_reason() -> None:
    node = Built(CONTAINERD)
    shim, _ = node.ctr("c1")
    node.gap(endpoint("shim", "shims"), "c1", "task", f"shim {shim.pid} stopped (state T)")
    records = node.records["shim://shims"]
    node.records["shim://shims"] = [r for r in records if type(r).__name__ != "Task"]
    (found,) = Drawn(node).kinds("shim")
    assert found.verdict is Verdict.UNKNOWN
    assert found.why == f"shim {shim.pid} stopped (state T)"


def test_exec_session_is_drawn_beside_the_init() -> None:
    node = Built(CONTAINERD)
    node.ctr("c1", cgroup="/default/c1")
    session = node.process(comm="sh", container_id="c1", cgroup="/default/c1")
    drawn = Drawn(node)
    found = next(n for n in drawn.kinds("process") if n.pid == session.pid)
    assert found.parent == drawn.of("c1").key


def test_system_containers_are_owners_and_no_containers() -> None:
    node = Built()
    node.process(comm="init", cgroup="/lxc/box", container_id="box", owner="lxc")
    drawn = Drawn(node)
    (owner,) = drawn.kinds("owner")
    assert (owner.name, owner.parent) == ("LXC box", "node")
    assert drawn.kinds("container") == []


def consistent(nodes: dict[str, TreeNode]) -> None:
    seen: set[str] = set()
    for node in nodes.values():
        assert node.parent is None or node.parent in seen, f"{node.key} before its parent"
        seen.add(node.key)
        assert list(node.children) == [n.key for n in nodes.values() if n.parent == node.key]


def test_every_node_follows_its_parent_and_is_its_child() -> None:
    inventory = join(generated_observations(80))
    nodes = {node.key: node for node in tree(inventory)}
    consistent(nodes)
    containers = {n.container for n in nodes.values() if n.kind == "container"}
    assert containers == {row.key for row in inventory.containers}
    live: dict[Any, Any] = {n.pid: n for n in nodes.values() if n.kind == "process"}
    for row in inventory.containers:
        assert {key.pid for key in row.processes} <= live.keys()


def test_two_looks_have_the_same_keys() -> None:
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C)
    node.ctr("c1")
    assert [n.key for n in tree(node.seen())] == [n.key for n in tree(node.seen(after_s=2))]


def test_one_shim_of_two_namespaces_is_two_nodes() -> None:
    node = Built(CONTAINERD)
    shim, _ = node.ctr("c1", "default")
    node.below_containerd("build", "c1", STATE, shim=shim)
    node.record(CONTAINERD, "c1", namespace="build")
    assert len(Drawn(node).kinds("container")) == 2
