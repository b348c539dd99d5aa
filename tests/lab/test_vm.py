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

RTSCOPE = "PYTHONPATH=/root/site python3 -m rtscope"
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
        # rtscope writes no bytecode, and compiling is slow in emulation: once for all tests.
        machine.run("cp -r /mnt/site /root/site", check=True)
        machine.run(
            "python3 -m compileall -q /root/site/rtscope /root/site/google/protobuf", timeout=300
        )
        yield machine


def document(machine: Machine, arguments: str) -> Any:
    done = machine.run(f"{RTSCOPE} {arguments} {WIDE} -o json", timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rows(machine: Machine) -> list[dict[str, Any]]:
    """Every row, asked for once: each start takes seconds here."""
    found: list[dict[str, Any]] = document(machine, "ps -a --all-runtimes")["containers"]
    return found


@pytest.fixture(scope="module")
def sources(machine: Machine) -> Any:
    return document(machine, "sources")


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


def test_vm_lists_every_container_of_every_engine_once(rows: list[dict[str, Any]]) -> None:
    counted = sorted((r["name"], (r["pod"] or {}).get("name") or "") for r in rows)
    expected = sorted(
        [(name, "") for name in EXPECTED if name not in ("app", "sidecar")]
        + [("app", "web"), ("sidecar", "web"), ("app", "crunpod")]
    )
    assert counted == expected


@pytest.mark.parametrize("name", list(EXPECTED))
def test_vm_row_has_the_right_engine_state_and_runtime(
    rows: list[dict[str, Any]], name: str
) -> None:
    engine, state, runtime = EXPECTED[name]
    for row in [r for r in rows if r["name"] == name]:
        assert (row["engine"], row["state"]) == (engine, state)
        if runtime is not None:
            assert row["oci_runtime"] == runtime


def test_vm_rows_agree_at_every_layer(rows: list[dict[str, Any]]) -> None:
    problems = {
        r["name"]: {
            k: v for k, v in r["layers"].items() if v["verdict"] not in ("ok", "not_expected")
        }
        for r in rows
        if r["verdict"] != "ok"
    }
    assert problems == {}


def test_vm_pids_are_those_of_the_engines(machine: Machine, rows: list[dict[str, Any]]) -> None:
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
    assert {r["name"]: r["pid"] for r in rows if r["name"] in theirs} == theirs


def test_vm_rootless_container_carries_its_user(rows: list[dict[str, Any]]) -> None:
    mine = [r for r in rows if r["name"] == "u-run"]
    assert [row["uid"] for row in mine] == [1500]
    assert "user.slice" in mine[0]["cgroup_path"]


def test_vm_pod_is_in_the_kubelets_slice(rows: list[dict[str, Any]]) -> None:
    mine = [r for r in rows if r["pod"] and r["pod"]["name"] == "web"]
    assert sorted(r["name"] for r in mine) == ["app", "sidecar"]
    for row in mine:
        assert "kubepods" in row["cgroup_path"]
        assert row["cgroup_path"].rstrip("/").endswith(".scope")
    assert len({r["shim_pid"] for r in mine}) == 1, "one shim serves the pod"


def test_vm_tree_reaches_every_running_init(machine: Machine, rows: list[dict[str, Any]]) -> None:
    nodes = document(machine, "tree")["nodes"]
    drawn = {node["pid"] for node in nodes}
    assert {row["pid"] for row in rows if row["pid"]} <= drawn


def test_vm_sources_name_the_daemons(sources: Any) -> None:
    answered = {s["kind"] for s in sources["sources"] if s["state"] in ("ok", "slow")}
    assert {"docker", "containerd", "cri"} <= answered
    assert sources["node"] == "rtscope-vm"


def test_vm_only_the_api_of_containerd_is_dialled(sources: Any) -> None:
    mine = {s["endpoint"] for s in sources["sources"] if s["kind"] in ("containerd", "cri")}
    assert mine == {"/run/containerd/containerd.sock"}


def test_vm_socket_of_a_sleeping_daemon_is_left_alone(machine: Machine) -> None:
    # podman.socket is held by systemd alone: connecting would start podman.
    machine.run("systemctl start podman.socket", check=True)
    try:
        found = document(machine, "sources")["sources"]
        states = {s["endpoint"]: s["state"] for s in found if s["kind"] == "podman"}
        assert states["/run/podman/podman.sock"] == "inactive"
        active = machine.run("systemctl is-active podman.service").stdout.strip()
        assert active == "inactive"
    finally:
        machine.run("systemctl stop podman.socket")
