"""A small chain for the tests of trees."""

from dataclasses import replace

from rtscope.correlate.nodes import TreeNode
from rtscope.model.state import Layer, Verdict
from tests.unit.render.build import hex_id


def chain() -> list[TreeNode]:
    spec: list[tuple[str, str | None, dict]] = [
        ("node", None, {"kind": "node", "name": "node-1"}),
        (
            "d",
            "node",
            {"kind": "daemon", "name": "dockerd", "pid": 900, "state": "ok", "detail": "28.5.2"},
        ),
        ("ns", "d", {"kind": "namespace", "name": "moby"}),
        (
            "c1",
            "ns",
            {
                "kind": "container",
                "name": "web-1",
                "id": hex_id(1),
                "state": "running",
                "detail": "nginx:1.27",
                "container": "k1",
            },
        ),
        (
            "s1",
            "c1",
            {"kind": "shim", "name": "runc-v2", "pid": 51, "state": "S", "container": "k1"},
        ),
        ("o1", "s1", {"kind": "oci", "name": "runc", "state": "running", "container": "k1"}),
        (
            "p1",
            "o1",
            {
                "kind": "process",
                "name": "nginx: master",
                "pid": 101,
                "state": "S",
                "container": "k1",
            },
        ),
        (
            "p2",
            "p1",
            {
                "kind": "process",
                "name": "nginx: worker",
                "pid": 111,
                "state": "S",
                "container": "k1",
            },
        ),
        (
            "c3",
            "ns",
            {
                "kind": "container",
                "name": "worker",
                "id": hex_id(3),
                "state": "running",
                "verdict": Verdict.UNKNOWN,
                "why": "the shim does not answer",
                "container": "k3",
            },
        ),
        (
            "s3",
            "c3",
            {
                "kind": "shim",
                "name": "runc-v2",
                "pid": 53,
                "state": "T",
                "verdict": Verdict.UNKNOWN,
                "why": "silent",
                "container": "k3",
            },
        ),
    ]
    layers = {"shim": Layer.SHIM, "oci": Layer.OCI, "process": Layer.PROCESS}
    nodes = [
        TreeNode(key=key, parent=parent, layer=layers.get(facts["kind"]), **facts)
        for key, parent, facts in spec
    ]
    return [
        replace(node, children=tuple(n.key for n in nodes if n.parent == node.key))
        for node in nodes
    ]


def crowd(count: int) -> list[TreeNode]:
    children = tuple(f"p{i}" for i in range(count))
    root = TreeNode(key="p", kind="process", name="init", pid=1, children=children)
    return [root] + [
        TreeNode(key=key, kind="process", name=f"w{key}", pid=10, parent="p") for key in children
    ]
