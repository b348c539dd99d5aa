"""Every seeded container is one row, and the row says what the engines' own clients say."""

from typing import Any

import pytest

from tests.lab import asking, conftest
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

GENERATIONS = ("node", "node_trixie", "node_host")
RUNNING_LAYERS = {
    "docker": {"engine", "container", "task", "shim", "oci", "process", "cgroup"},
    "cri": {"engine", "container", "task", "shim", "oci", "process", "cgroup"},
    "containerd": {"container", "task", "shim", "oci", "process", "cgroup"},
    "podman": {"engine", "shim", "oci", "process", "cgroup"},
    "oci": {"oci", "process", "cgroup"},
}


class Pairs:
    """What the lab says and what rtscope says, taken one right after the other."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.rows = asking.rows(node)
        self.entries = node.population()
        self.by_key: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in self.rows:
            self.by_key.setdefault(asking.key_of(row), []).append(row)

    def calm(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(entry, row) of every container that does not restart for ever."""
        return [
            (entry, self.by_key[asking.key_of(entry)][0])
            for entry in self.entries
            if not entry["restless"]
        ]


@pytest.fixture(scope="module", params=GENERATIONS)
def pairs(request: pytest.FixtureRequest) -> Pairs:
    return Pairs(request.getfixturevalue(request.param))


def different(pairs: Pairs, field: str, column: str | None = None) -> dict[str, Any]:
    return {
        entry["seed"]: (entry[field], row[column or field])
        for entry, row in pairs.calm()
        if entry[field] != row[column or field]
    }


def test_listing_has_exactly_one_row_for_each_container(pairs: Pairs) -> None:
    expected = sorted(asking.key_of(entry) for entry in pairs.entries)
    assert sorted(asking.key_of(row) for row in pairs.rows) == expected


def test_listing_state_is_the_engines(pairs: Pairs) -> None:
    assert different(pairs, "state") == {}


def test_listing_pid_is_the_living_init(pairs: Pairs) -> None:
    assert different(pairs, "pid") == {}


def test_listing_shim_is_the_one_that_serves_it(pairs: Pairs) -> None:
    wrong = {
        entry["seed"]: (entry["shim_pid"], row["shim_pid"])
        for entry, row in pairs.calm()
        if entry["pid"] is not None and entry["shim_pid"] != row["shim_pid"]
    }
    assert wrong == {}


def test_listing_name_is_the_highest_layers(pairs: Pairs) -> None:
    wrong = {
        entry["seed"]: (entry["name"], row["name"])
        for entry, row in pairs.calm()
        if entry["kind"] == "container" and entry["name"] != row["name"]
    }
    assert wrong == {}


def test_listing_image_is_as_it_was_asked_for(pairs: Pairs) -> None:
    wrong = {
        entry["seed"]: (entry["image"], row["image_ref"])
        for entry, row in pairs.calm()
        if entry["kind"] == "container" and entry["image"] != row["image_ref"]
    }
    assert wrong == {}


def test_listing_oci_runtime_is_the_one_that_ran_it(pairs: Pairs) -> None:
    wrong = {
        entry["seed"]: (entry["oci_runtime"], row["oci_runtime"])
        for entry, row in pairs.calm()
        if entry["pid"] is not None and entry["oci_runtime"] != row["oci_runtime"]
    }
    assert wrong == {}


def test_listing_exit_code_is_the_engines(pairs: Pairs) -> None:
    wrong = {
        entry["seed"]: (entry["exit_code"], row["exit_code"])
        for entry, row in pairs.calm()
        if entry["exit_code"] is not None
        and entry["state"] == "stopped"
        and entry["exit_code"] != row["exit_code"]
    }
    assert wrong == {}


def test_listing_pod_is_that_of_the_sandbox(pairs: Pairs) -> None:
    wrong = {
        entry["seed"]: (entry["pod"], row["pod"] and row["pod"]["name"])
        for entry, row in pairs.calm()
        if entry["engine"] == "cri" and entry["pod"] != (row["pod"] and row["pod"]["name"])
    }
    assert wrong == {}


def test_listing_of_a_healthy_node_has_no_problem(pairs: Pairs) -> None:
    problems = {
        row["name"]: [
            (layer, view["verdict"], view.get("why"))
            for layer, view in row["layers"].items()
            if view["verdict"] not in ("ok", "not_expected")
        ]
        for _, row in pairs.calm()
        if row["verdict"] != "ok"
    }
    assert problems == {}


def test_listing_every_layer_of_a_running_container_speaks(pairs: Pairs) -> None:
    wrong = {}
    for entry, row in pairs.calm():
        if entry["pid"] is None or entry["kind"] == "sandbox" or entry["oci_runtime"] == "runsc":
            continue
        silent = {
            layer
            for layer in RUNNING_LAYERS[entry["engine"]]
            if row["layers"].get(layer, {}).get("verdict") != "ok"
        }
        if silent:
            wrong[entry["seed"]] = silent
    assert wrong == {}


def test_listing_same_id_in_two_namespaces_stays_two(pairs: Pairs) -> None:
    twins = [row for row in pairs.rows if row["id"] == "t-run"]
    assert sorted(row["namespace"] for row in twins) == ["default", "lab2"]
    assert len({row["pid"] for row in twins}) == 2


def test_listing_oom_and_health_are_told(pairs: Pairs) -> None:
    by_name = {row["name"]: row for row in pairs.rows}
    assert by_name["d-oom"]["exit_reason"] == "OOM"
    assert by_name["d-oom"]["oom_killed"] is True
    assert by_name["d-health"]["health"] == "unhealthy"
    assert by_name["d-restart"]["restart_count"] >= 1


def test_tree_has_every_living_init_and_shim(pairs: Pairs) -> None:
    document = asking.document("tree", *asking.PATIENT, environ=asking.configured(pairs.node))
    drawn = {node["pid"] for node in document["nodes"]}
    missing = {
        entry["seed"]: (entry["pid"], entry["shim_pid"])
        for entry in pairs.entries
        if entry["pid"] is not None
        and not entry["restless"]
        and not {entry["pid"], entry["shim_pid"] or entry["pid"]} <= drawn
    }
    assert missing == {}


def test_sources_list_the_labs_endpoints_as_ok(pairs: Pairs) -> None:
    document = asking.document("sources", *asking.PATIENT)
    states = {
        (source["kind"], source["endpoint"]): source["state"] for source in document["sources"]
    }
    sockets = pairs.node.layout.sockets
    for kind in ("docker", "containerd", "cri", "podman"):
        assert states[(kind, sockets[kind])] in ("ok", "slow")


def test_listing_with_dockers_containerd_image_store() -> None:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker"), containerd_image_store=True) as node:
        pairs = Pairs(node)
        expected = sorted(asking.key_of(entry) for entry in pairs.entries)
        assert sorted(asking.key_of(row) for row in pairs.rows) == expected
        for field in ("state", "pid"):
            assert different(pairs, field) == {}
        assert [row["name"] for _, row in pairs.calm() if row["verdict"] != "ok"] == []
