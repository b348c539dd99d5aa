"""The node that most users have: systemd, cgroup v2, the systemd driver, journald; from inside it.

Emulated, so nothing is timed here; --timeout is wide for the same reason.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.vm.build import build, is_built
from tests.lab.vm.machine import Machine
from tests.lab.vm.seed import fill_site_directory

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

RTSCOPE = "PYTHONPATH=/mnt/site python3 -m rtscope"
WIDE = "--timeout 25s"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if not is_built():
        if os.environ.get("RTSCOPE_REQUIRE_LAB") != "1":
            pytest.skip("the emulated node is not built: make lab-vm")
        build()
    with Machine() as machine, tempfile.TemporaryDirectory() as folder:
        site = os.path.join(folder, "site")
        fill_site_directory(site)
        machine.mount(site, "/mnt/site")
        yield machine


def document(machine: Machine, arguments: str) -> Any:
    done = machine.run(f"{RTSCOPE} {arguments} {WIDE} -o json", timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def listing(machine: Machine) -> dict[str, dict[str, Any]]:
    rows = document(machine, "ps -a --all-runtimes")["containers"]
    names = [row["name"] for row in rows]
    assert sorted(set(names)) == sorted(names), "a container has two rows"
    return {row["name"]: row for row in rows}


EXPECTED = {
    "d-run": ("docker", "running", "runc"),
    "d-paused": ("docker", "paused", "runc"),
    "d-exited": ("docker", "stopped", None),
    "d-kube": ("docker", "running", "runc"),
    "p-run": ("podman", "running", "crun"),
    "p-exited": ("podman", "stopped", None),
    "p-runc": ("podman", "running", "runc"),
    "u-run": ("podman", "running", "crun"),
    "t-run": ("containerd", "running", "runc"),
    "t-slice": ("containerd", "running", "runc"),
    "app": ("cri", "running", None),
    "sidecar": ("cri", "running", "runc"),
}


def test_vm_lists_every_container_of_every_engine_once(machine: Machine) -> None:
    rows = document(machine, "ps -a --all-runtimes")["containers"]
    counted = sorted((r["name"], r["pod"]["name"] if r["pod"] else None) for r in rows)
    expected = sorted(
        [(name, None) for name in EXPECTED if name not in ("app", "sidecar")]
        + [("app", "web"), ("sidecar", "web"), ("app", "crunpod")]
    )
    assert counted == expected


@pytest.mark.parametrize("name", [n for n in EXPECTED if n != "app"])
def test_vm_row_has_the_right_engine_state_and_runtime(machine: Machine, name: str) -> None:
    rows = [
        r
        for r in document(machine, f"ps -a --all-runtimes --filter name={name}")["containers"]
        if r["name"] == name
    ]
    assert len(rows) == 1
    engine, state, runtime = EXPECTED[name]
    assert (rows[0]["engine"], rows[0]["state"]) == (engine, state)
    if runtime is not None:
        assert rows[0]["oci_runtime"] == runtime


def test_vm_rows_agree_at_every_layer(machine: Machine) -> None:
    rows = document(machine, "ps -a --all-runtimes")["containers"]
    problems = {
        r["name"]: {
            k: v for k, v in r["layers"].items() if v["verdict"] not in ("ok", "not_expected")
        }
        for r in rows
        if r["verdict"] != "ok"
    }
    assert problems == {}


def test_vm_pids_are_those_of_the_engines(machine: Machine) -> None:
    theirs = {}
    for command in (
        "docker inspect --format '{{.Name}} {{.State.Pid}}' d-run d-paused d-kube",
        "podman inspect --format '{{.Name}} {{.State.Pid}}' p-run p-runc",
    ):
        for line in machine.run(command, check=True).stdout.splitlines():
            name, pid = line.split()
            theirs[name.strip("/")] = int(pid)
    for line in machine.run("ctr task ls", check=True).stdout.splitlines()[1:]:
        name, pid, _ = line.split()
        theirs[name] = int(pid)
    rows = document(machine, "ps -a --all-runtimes")["containers"]
    ours = {r["name"]: r["pid"] for r in rows if r["name"] in theirs}
    assert ours == theirs


def test_vm_rootless_container_carries_its_user(machine: Machine) -> None:
    rows = document(machine, "ps --all-runtimes --filter name=u-run")["containers"]
    assert [(r["name"], r["uid"]) for r in rows] == [("u-run", 1500)]
    assert "user.slice" in rows[0]["cgroup_path"]


def test_vm_pod_is_in_the_kubelets_slice(machine: Machine) -> None:
    rows = document(machine, "ps --all-runtimes --filter pod=web")["containers"]
    assert sorted(r["name"] for r in rows) == ["app", "sidecar"]
    for row in rows:
        assert "kubepods" in row["cgroup_path"]
        assert row["cgroup_path"].rstrip("/").endswith(".scope")
    assert len({r["shim_pid"] for r in rows}) == 1, "one shim serves the pod"


def test_vm_tree_reaches_every_running_init(machine: Machine) -> None:
    rows = document(machine, "ps --all-runtimes")["containers"]
    nodes = document(machine, "tree")["nodes"]
    drawn = {node["pid"] for node in nodes if node["kind"] in ("process", "container", "oci")}
    assert {row["pid"] for row in rows} <= drawn


def test_vm_sources_name_the_daemons(machine: Machine) -> None:
    sources = document(machine, "sources")["sources"]
    answered = {s["kind"] for s in sources if s["state"] in ("ok", "slow")}
    assert {"docker", "containerd", "cri"} <= answered
    cgroup_mode = document(machine, "sources")["node"]["cgroup_mode"]
    assert cgroup_mode == "v2"


def test_vm_socket_of_a_sleeping_daemon_is_left_alone(machine: Machine) -> None:
    # podman.socket is held by systemd alone: connecting would start podman.
    machine.run("systemctl start podman.socket", check=True)
    try:
        sources = document(machine, "sources")["sources"]
        states = {s["endpoint"]: s["state"] for s in sources if s["kind"] == "podman"}
        assert states == {"/run/podman/podman.sock": "inactive"}
        active = machine.run("systemctl is-active podman.service").stdout.strip()
        assert active == "inactive"
    finally:
        machine.run("systemctl stop podman.socket")
