"""The chain as a tree."""

from rtscope.correlate.chain import tree
from rtscope.correlate.join import join
from tests.generate import generated_observations
from tests.unit.correlate.build import (
    CONTAINERD,
    DOCKERD,
    Built,
    hex_id,
)

C = hex_id(1)


def path_to(nodes, wanted):
    """Names from the root down to the first node of that kind."""
    by_key = {node.key: node for node in nodes}
    node = next(node for node in nodes if node.kind == wanted)
    names = []
    while node is not None:
        names.append(f"{node.kind}:{node.name}")
        node = by_key.get(node.parent or "")
    return names[::-1]


def test_the_chain_of_docker_runs_from_the_daemon_to_the_process():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C, name="web")
    assert path_to(tree(node.seen()), "process") == [
        "node:node-1", "daemon:dockerd", "daemon:containerd", "namespace:moby", "shim:shim runc-v2",
        "container:web", "process:app",
    ]  # fmt: skip


def test_parents_come_first_and_keys_are_unique():
    nodes = tree(join(generated_observations(40)))
    seen = set()
    for node in nodes:
        assert node.parent is None or node.parent in seen
        seen.add(node.key)
    assert len(seen) == len(nodes)
    assert [node.kind for node in nodes if node.parent is None] == ["node"]
    children = {child for node in nodes for child in node.children}
    assert children == seen - {nodes[0].key}


def test_a_pods_containers_are_siblings_below_one_shim():
    nodes = {node.key: node for node in tree(join(generated_observations(16)))}
    shared = [n for n in nodes.values() if n.kind == "shim" and len(n.children) > 1]
    assert shared
    for shim in shared:
        assert {nodes[child].kind for child in shim.children} == {"container"}


def test_a_daemon_that_is_gone_is_drawn_all_the_same():
    node = Built()
    node.process(container_id=C, owner="docker")
    found = next(n for n in tree(node.seen()) if n.kind == "daemon")
    assert (found.name, found.state) == ("dockerd", "absent")


def test_a_stranger_is_named_and_not_read():
    node = Built()
    node.process(container_id="box", owner="nspawn")
    owner = next(n for n in tree(node.seen()) if n.kind == "owner")
    assert owner.name == "systemd-nspawn box"
    assert "not read" in owner.detail


def test_every_owner_that_is_no_container_has_a_name_in_the_tree():
    for name in ("lxc", "nspawn", "buildkit", "libvirt-lxc"):
        node = Built()
        node.process(container_id="box", owner=name)
        assert [n.kind for n in tree(node.seen())] == ["node", "owner", "process"]
