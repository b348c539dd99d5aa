"""An engine inside a container: drawn below it, asked only with --nested, never merged."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import asking, conftest, processes
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


class Nest:
    """A node before and after an engine came up inside one of its containers."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.before = self.stable()
        self.facts = node.nested_engine()

    def rows(self, *more: str) -> list[dict[str, Any]]:
        answer = asking.document(
            *asking.EVERYTHING, *more, *asking.PATIENT, environ=asking.configured(self.node)
        )
        return [
            row
            for row in answer["containers"]
            if row in asking.of_node(self.node, [row]) or self.is_inner(row)
        ]

    def is_inner(self, row: dict[str, Any]) -> bool:
        return row["pid"] == self.facts["inner_pid"]

    def stable(self) -> dict[str, dict[str, Any]]:
        """Rows by key, without those that change by themselves."""
        restless = {entry["id"] for entry in self.node.population() if entry["restless"]}
        return {row["key"]: row for row in asking.rows(self.node) if row["id"] not in restless}


@pytest.fixture(scope="module")
def nest() -> Iterator[Nest]:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker")) as node:
        yield Nest(node)


def inner_of(nest: Nest, *more: str) -> dict[str, Any]:
    found = [row for row in nest.rows(*more) if row["pid"] == nest.facts["inner_pid"]]
    assert len(found) == 1, found
    return found[0]


def test_nested_container_is_one_row_of_its_own(nest: Nest) -> None:
    row = inner_of(nest)
    outer = next(r for r in nest.rows() if r["id"] == nest.facts["outer_id"])
    assert row["id"] == nest.facts["inner_id"]
    assert row["state"] == "running"
    assert row["nested_in"]
    assert row["key"] != outer["key"]
    assert outer["nested_in"] is None
    assert outer["pid"] == nest.facts["outer_pid"]


def test_nested_container_that_was_not_asked_about_is_no_problem(nest: Nest) -> None:
    row = inner_of(nest)
    assert row["verdict"] not in ("missing", "differs"), row["problem"]


def test_nested_container_is_hidden_from_a_plain_listing(nest: Nest) -> None:
    rows = asking.document("ps", "-a", *asking.PATIENT)["containers"]
    assert nest.facts["inner_pid"] not in {row["pid"] for row in rows}
    assert nest.facts["outer_pid"] in {row["pid"] for row in rows}


def test_nested_engine_changes_no_row_of_the_host(nest: Nest) -> None:
    after = nest.stable()
    changed = {
        key: {name: (row[name], after.get(key, {}).get(name)) for name in row
              if row[name] != after.get(key, {}).get(name)}
        for key, row in nest.before.items()
        if after.get(key) != row
    }  # fmt: skip
    assert changed == {}


def test_nested_socket_is_dialled_with_the_flag_only(nest: Nest) -> None:
    def inner_sources(*flags: str) -> dict[str, dict[str, Any]]:
        prefix = nest.facts["socket"].removesuffix("/run/containerd/containerd.sock")
        found = asking.document("sources", *flags, *asking.PATIENT)["sources"]
        return {
            one["kind"]: one
            for one in found
            if one["endpoint"].startswith(prefix) and one["kind"] == "containerd"
        }

    closed = inner_sources()["containerd"]
    assert closed["state"] == "inactive"
    assert closed["version"] is None
    assert closed["connect_ms"] is None
    opened = inner_sources("--nested")["containerd"]
    assert opened["state"] in ("ok", "slow")
    assert opened["version"]
    assert opened["pid"] != nest.node.daemons.pids["containerd"]


def test_nested_engine_that_was_asked_knows_its_container(nest: Nest) -> None:
    row = inner_of(nest, "--nested")
    assert row["layers"]["container"]["verdict"] == "ok", row["layers"]["container"]
    assert row["image_ref"] == "docker.io/rtlab/busybox:1"
    assert row["nested_in"]
    assert row["namespace"] == "default"


def test_tree_draws_the_inner_container_below_the_outer_one(nest: Nest) -> None:
    nodes = {one["key"]: one for one in asking.document("tree", *asking.PATIENT)["nodes"]}
    inner = next(one for one in nodes.values() if one["pid"] == nest.facts["inner_pid"])
    above = []
    at = inner
    while at["parent"]:
        at = nodes[at["parent"]]
        above.append(at)
    pids = {one["pid"] for one in above}
    assert nest.facts["outer_pid"] in pids, [(one["kind"], one["name"]) for one in above]


def test_inner_processes_are_the_kernels(nest: Nest) -> None:
    # What rtscope calls its shim is the process above the inner init, inside the container.
    row = inner_of(nest)
    parent = processes.stat_of(nest.facts["inner_pid"])
    assert parent is not None
    assert row["shim_pid"] == parent.parent
