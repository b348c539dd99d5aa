"""Sick daemons: everything that runs is still listed, with exact notes, and nobody waits long."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import asking, conftest, faults
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

# The verb's own limit is 2.5 s; the rest is the start of Python on a loaded machine.
VERB_S = 10.0
ENGINES = ("containerd", "docker", "cri", "podman", "runc")


@pytest.fixture(scope="module")
def sick() -> Iterator[Node]:
    conftest.require_lab("forky")
    with Node(engines=ENGINES) as node:
        yield node


def timed(*arguments: str) -> tuple[float, Any]:
    start = time.monotonic()
    done = asking.run(*arguments)
    return time.monotonic() - start, done


def live(node: Node) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What runs and does not restart, by engine, namespace and id."""
    return {
        asking.key_of(entry): entry
        for entry in node.population()
        if entry["pid"] is not None and not entry["restless"]
    }


def by_pid(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if row["pid"] is not None:
            found.setdefault(row["pid"], []).append(row)
    return found


def assert_all_live_listed(
    expected: dict[tuple[str, str, str], dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    """One row for each living init, with id, bundle and a living state."""
    found = by_pid(rows)
    for entry in expected.values():
        mine = found.get(entry["pid"], [])
        assert len(mine) == 1, (entry["seed"], entry["pid"], mine)
        row = mine[0]
        assert row["id"] == entry["id"], entry["seed"]
        assert row["state"] == entry["state"], entry["seed"]
        if entry["engine"] != "oci":
            assert row["bundle_dir"], entry["seed"]
        if entry["shim_pid"]:
            assert row["shim_pid"] == entry["shim_pid"], entry["seed"]


def test_fault_one_stopped_shim_is_named_and_delays_nobody(sick: Node) -> None:
    healthy = min(timed(*asking.EVERYTHING, "-o", "json")[0] for _ in range(3))
    expected = live(sick)
    entry = sick.entry("t-run", "default")
    with faults.stopped(sick, entry["shim_pid"]):
        for verb in (asking.EVERYTHING, ("tree",), ("sources",)):
            seconds = min(timed(*verb, "-o", "json")[0] for _ in range(2))
            assert seconds < healthy + 1.0, verb
        done = asking.run(*asking.EVERYTHING)
        rows = asking.rows(sick)
    assert_all_live_listed(expected, rows)
    assert str(entry["shim_pid"]) in done.stderr
    assert "stopped" in done.stderr
    marked = [row for row in rows if any(v["verdict"] == "unknown" for v in row["layers"].values())]
    assert [(row["namespace"], row["id"]) for row in marked] == [("default", "t-run")]


@pytest.mark.parametrize("names", [("containerd",), ("docker",), ("containerd", "docker")])
def test_fault_stopped_daemons_hide_no_running_container(
    sick: Node, names: tuple[str, ...]
) -> None:
    expected = live(sick)
    pids = [sick.daemons.pids[name] for name in names]
    with faults.stopped(sick, *pids):
        start = time.monotonic()
        rows = asking.rows(sick)
        assert time.monotonic() - start < VERB_S
        done = asking.run(*asking.EVERYTHING)
        strict = asking.run(*asking.EVERYTHING, "--strict")
        sources = asking.document("sources")["sources"]
    assert_all_live_listed(expected, rows)
    assert done.returncode == 0
    assert strict.returncode == 4
    sockets = sick.layout.sockets
    for name in names:
        assert sockets[name] in done.stderr
        states = {s["state"] for s in sources if s["endpoint"] == sockets[name]}
        assert states == {"stopped"}
    docker_rows = {row["name"] for row in rows if row["engine"] == "docker"}
    assert {"d-run", "d-paused", "d-exec"} <= docker_rows
    for name in names:
        sick.wait_ready(name)


def test_fault_stopped_dockerd_still_tells_exited_containers(sick: Node) -> None:
    with faults.stopped(sick, sick.daemons.pids["docker"]):
        rows = {row["name"]: row for row in asking.rows(sick)}
    sick.wait_ready("docker")
    assert rows["d-exited"]["state"] == "stopped"
    assert rows["d-exited"]["exit_code"] == 3
    assert rows["d-oom"]["exit_reason"] == "OOM"


def test_fault_unreadable_record_is_a_gap_of_its_own(sick: Node) -> None:
    entry = sick.entry("d-exited")
    path = f"{sick.layout.paths['docker_data']}/containers/{entry['id']}/config.v2.json"
    with faults.removed(sick, path):
        rows = asking.rows(sick)
    assert [row["id"] for row in rows].count(entry["id"]) == 1


def test_fault_missing_oci_state_is_seen_as_missing(sick: Node) -> None:
    entry = sick.entry("d-run")
    with faults.removed(sick, f"{entry['oci_root']}/{entry['id']}"):
        rows = {row["id"]: row for row in asking.rows(sick)}
    row = rows[entry["id"]]
    assert row["layers"]["oci"]["verdict"] == "missing"
    assert row["verdict"] == "missing"
    assert row["pid"] == entry["pid"]


def test_fault_dead_daemons_leave_their_containers_listed() -> None:
    conftest.require_lab("forky")
    with Node(engines=ENGINES) as node:
        expected = live(node)
        for name in ("docker", "containerd"):
            faults.kill(node, node.daemons.pids[name])
        start = time.monotonic()
        rows = asking.rows(node)
        assert time.monotonic() - start < VERB_S
        done = asking.run(*asking.EVERYTHING)
        sources = asking.document("sources")["sources"]
        assert_all_live_listed(expected, rows)
        states = {(s["kind"], s["endpoint"]): s["state"] for s in sources}
        assert states.get(("docker", node.layout.sockets["docker"]), "dead") == "dead"
        assert done.returncode == 0
        docker_names = {row["name"] for row in rows if row["engine"] == "docker"}
        assert {"d-run", "d-paused"} <= docker_names


def test_fault_same_names_in_a_second_containerd_stay_apart() -> None:
    conftest.require_lab("forky")
    with Node(engines=("containerd",)) as node:
        node.second_containerd()
        rows = [row for row in asking.rows(node) if row["id"] == "t-run"]
        origins = {(row["origin"], row["namespace"]) for row in rows}
        assert len(rows) == len(origins) == 3
        assert len({row["pid"] for row in rows}) == 3
        assert all(row["verdict"] == "ok" for row in rows)
