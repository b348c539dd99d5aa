"""Nothing is configured, and every socket of a node is found, each with how it was found."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.lab import asking, conftest
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

# What users set for the original clients would name sockets, too: none of it here.
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/root"}
DAEMONS = {"docker": "docker", "containerd": "containerd", "cri": "containerd", "podman": "podman"}
NOBODY = 65534


class Place:
    """A node with everything twice that may be there twice."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.second = node.second_containerd()

    def expected(self) -> dict[tuple[str, str], int]:
        """(Kind, socket) -> pid of the daemon behind it, as the lab started them."""
        pids, sockets = self.node.daemons.pids, self.node.layout.sockets
        found = {
            (kind, sockets[kind]): pids[daemon]
            for kind, daemon in DAEMONS.items()
            if daemon in pids
        }
        found["containerd", self.second["socket"]] = pids["containerd2"]
        return found


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker", "cri", "podman", "runc")) as node:
        yield Place(node)


def bare(*arguments: str) -> Any:
    """The JSON of a run that nobody configured."""
    done = subprocess.run(
        [asking.RTSCOPE, *arguments, *asking.PATIENT, "-o", "json"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env=BARE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sources_of(document: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["endpoint"]): one for one in document["sources"]}


def test_every_socket_is_found_with_its_daemon(place: Place) -> None:
    found = sources_of(bare("sources"))
    for key, pid in place.expected().items():
        assert key in found, key
        assert found[key]["state"] in ("ok", "slow"), found[key]
        assert found[key]["pid"] == pid
        assert found[key]["version"]
        assert found[key]["queue"] is not None
        assert found[key]["connect_ms"] is not None
        assert found[key]["first_answer_ms"] is not None


def test_every_source_says_how_it_was_found(place: Place) -> None:
    mine = {
        key: one
        for key, one in sources_of(bare("sources")).items()
        if place.node.layout.dir in one["endpoint"]
    }
    assert {key for key, one in mine.items() if not one["found_by"]} == set()
    paths = place.node.layout
    docker = mine["docker", paths.sockets["docker"]]["found_by"]
    assert any("dockerd" in how for how in docker)
    below = mine["containerd", paths.sockets["containerd"]]["found_by"]
    assert any("--containerd" in how for how in below)
    for root, word in (
        (("dockerfs", paths.paths["docker_data"]), "dockerd"),
        (("podmanfs", paths.paths["podman_root"]), "podman"),
        (("oci", paths.paths["docker_oci_root"]), "shim"),
        (("oci", f"{paths.paths['containerd_oci_root']}/default"), "shim"),
        (("oci", paths.paths["podman_oci_root"]), "conmon"),
    ):
        assert any(word in how for how in mine[root]["found_by"]), (root, mine[root]["found_by"])


def test_partners_are_told_apart(place: Place) -> None:
    rows = bare("ps", "-a", "--all-runtimes")["containers"]
    twins = [row for row in asking.of_node(place.node, rows) if row["id"] == "t-run"]
    origins = {(row["origin"], row["namespace"]) for row in twins}
    assert origins == {
        (place.node.layout.paths["containerd_state"], "default"),
        (place.node.layout.paths["containerd_state"], "lab2"),
        (place.second["state"], "default"),
    }
    endpoints = {row["origin"]: row["endpoint"] for row in twins}
    assert endpoints[place.second["state"]] == place.second["socket"]


def test_every_engine_is_listed_without_configuration(place: Place) -> None:
    rows = asking.of_node(place.node, bare("ps", "-a", "--all-runtimes")["containers"])
    engines = {row["engine"] for row in rows}
    assert {"docker", "containerd", "cri", "podman"} <= engines
    keys = [asking.key_of(row) for row in rows]
    assert len(keys) - len(set(keys)) == 1, "one name in two containerds, nothing else twice"


def test_podman_without_its_service_is_its_storage_and_monitors(place: Place) -> None:
    def podmans() -> dict[str, dict[str, Any]]:
        rows = asking.of_node(place.node, bare("ps", "-a", "--all-runtimes")["containers"])
        return {row["name"]: row for row in rows if row["engine"] == "podman"}

    before = podmans()
    place.node.kill_daemon("podman")
    try:
        after = podmans()
        found = sources_of(bare("sources"))
    finally:
        place.node.restart_daemon("podman")
    assert {name: row["id"] for name, row in before.items()} == {
        name: row["id"] for name, row in after.items()
    }
    for name, row in before.items():
        for field in ("state", "pid", "shim_pid", "image_ref"):
            assert after[name][field] == row[field], (name, field)
        # The rest is in its database alone, whose older kind is not read: unknown, never wrong.
        assert after[name]["exit_code"] in (row["exit_code"], None)
        pods = [one["pod"] and one["pod"]["sandbox_id"] for one in (row, after[name])]
        assert pods[0] == pods[1], name
    storage = ("podmanfs", place.node.layout.paths["podman_root"])
    assert found[storage]["state"] in ("ok", "slow")
    assert found[storage]["found_by"]
    service = found.get(("podman", place.node.layout.sockets["podman"]))
    assert service is None or service["state"] == "dead"


@pytest.fixture(scope="module")
def copy_for_all() -> Iterator[str]:
    """rtscope and what it imports where every user may read it."""
    import google.protobuf

    import rtscope

    with tempfile.TemporaryDirectory(prefix="rtscope-for-all-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        for package in (rtscope, google.protobuf):
            name = package.__name__.replace(".", "/")
            source = os.path.dirname(package.__file__ or "")
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, os.path.join(folder, name), ignore=ignored)
        yield folder


def as_nobody(copy: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return subprocess.run(
        [*user, "/usr/bin/python3", "-m", "rtscope", *arguments, *asking.PATIENT],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        cwd="/",
        env={**BARE, "PYTHONPATH": copy},
        check=False,
    )


def test_without_rights_every_source_names_the_missing_one(place: Place, copy_for_all: str) -> None:
    done = as_nobody(copy_for_all, "sources", "-o", "json")
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    found = sources_of(document)
    gaps: dict[str, list[dict[str, Any]]] = {}
    for gap in document["gaps"]:
        gaps.setdefault(gap["source"], []).append(gap)
    for kind, path in (key for key in place.expected() if key[0] in ("docker", "containerd")):
        assert found[kind, path]["state"] == "denied", found[kind, path]
        why = " ".join(gap["detail"] for gap in gaps[f"{kind}://{path}"])
        assert "root" in why, why
    denied = [one for one in found.values() if one["state"] == "denied"]
    assert all(one["version"] is None for one in denied)


def test_without_rights_what_runs_is_still_seen(place: Place, copy_for_all: str) -> None:
    done = as_nobody(copy_for_all, "ps", "-a", "--all-runtimes", "-o", "json")
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 5, 6), done.stderr
    seen = {row["pid"]: row for row in json.loads(done.stdout)["containers"]}
    entries = [
        entry
        for entry in place.node.population()
        # A bare runtime's containers are known from its root directory alone, which is root's.
        if entry["pid"] is not None and not entry["restless"] and entry["engine"] != "oci"
    ]
    missing = [entry["seed"] for entry in entries if entry["pid"] not in seen]
    assert missing == []
    for entry in entries:
        row = seen[entry["pid"]]
        # What could not be asked is unknown; nothing is called missing for lack of rights.
        verdicts = {view["verdict"] for view in row["layers"].values()}
        assert not verdicts & {"missing", "differs"}, (entry["seed"], row["problem"])


def test_without_rights_the_table_says_what_it_could_not_ask(
    place: Place, copy_for_all: str
) -> None:
    done = as_nobody(copy_for_all, "ps", "-a", "--all-runtimes")
    assert "Traceback" not in done.stderr
    for name in ("docker", "containerd"):
        assert place.node.layout.sockets[name] in done.stderr
    assert "denied" in done.stderr
