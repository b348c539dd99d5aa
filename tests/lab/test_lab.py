"""The lab itself: what it says is there is there, and it leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.lab import conftest, crowd, engines, faults, processes, residue, teardown
from tests.lab import seed as seeds
from tests.lab.__main__ import main
from tests.lab.layout import IMAGE, LabError, Layout
from tests.lab.node import Node, many

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCKER = {
    "d-created": "created",
    "d-crun": "running",
    "d-exec": "running",
    "d-exited": "stopped",
    "d-gvisor": "running",
    "d-health": "running",
    "d-killed": "stopped",
    "d-oom": "stopped",
    "d-paused": "paused",
    "d-run": "running",
    "d-tty": "running",
    "d-weird": "running",
}
CONTAINERD = {
    "t-crun": "running",
    "t-gvisor": "running",
    "t-notask": "created",
    "t-paused": "paused",
    "t-run": "running",
    "t-stopped": "stopped",
    "t-weird": "running",
}
CRI = {
    "crunpod": "running",
    "crunpod/app": "running",
    "gone": "stopped",
    "gone/app": "stopped",
    "web": "running",
    "web/app": "running",
    "web/init": "stopped",
    "web/sidecar": "running",
}
PODMAN = {
    "p-crun": "running",
    "p-exited": "stopped",
    "p-paused": "paused",
    "p-pod": "running",
    "p-pod-a": "running",
    "p-run": "running",
    "p-weird": "running",
}
BARE = {
    "c-crun": "running",
    "g-run": "running",
    "r-created": "created",
    "r-paused": "paused",
    "r-run": "running",
    "r-stopped": "stopped",
}
YOUKI = {
    "y-created": "created",
    "y-paused": "paused",
    "y-run": "running",
    "y-stopped": "stopped",
}


def expected(node: Node) -> dict[tuple[str, str], str]:
    containerd, bare = dict(CONTAINERD), dict(BARE)
    if engines.youki() is not None:
        containerd["t-youki"] = "running"
        bare |= YOUKI
    if node.generation in ("trixie", "host"):
        containerd["t-runcv1"] = "running"
    if node.generation == "host":
        containerd["t-linux1"] = "running"
    kinds = {"docker": DOCKER, "containerd": containerd, "cri": CRI, "podman": PODMAN, "oci": bare}
    return {
        (engine, seed): state for engine, names in kinds.items() for seed, state in names.items()
    }


def check_population(node: Node) -> None:
    entries = node.population()
    settled = {
        (e["engine"], e["seed"]): e["state"]
        for e in entries
        if not e["restless"] and e["namespace"] != "lab2"
    }
    assert settled == expected(node)
    assert [e["seed"] for e in entries if e["restless"]] == ["d-restart"]
    assert [e["seed"] for e in entries if e["namespace"] == "lab2"] == ["t-run"]
    keys = Counter((e["origin"], e["namespace"], e["id"]) for e in entries)
    assert max(keys.values()) == 1
    for entry in entries:
        if entry["restless"]:
            continue
        is_live = entry["state"] in ("running", "paused") or (
            entry["state"] == "created" and entry["engine"] == "oci"
        )
        assert (entry["pid"] is not None) == is_live, entry
        if is_live:
            assert processes.is_alive(entry["pid"]), entry
            has_shim = entry["engine"] != "oci"
            assert (entry["shim_pid"] is not None) == has_shim, entry


@pytest.mark.parametrize("generation", ["forky", "trixie", "host"])
def test_population_of_a_started_node_is_as_seeded(
    generation: str, request: pytest.FixtureRequest
) -> None:
    fixture = {"forky": "node", "trixie": "node_trixie", "host": "node_host"}[generation]
    check_population(request.getfixturevalue(fixture))


def test_facts_of_ended_containers_are_told(node: Node) -> None:
    by_seed = {e["seed"]: e for e in node.population()}
    assert by_seed["d-exited"]["exit_code"] == 3
    assert by_seed["d-killed"]["exit_code"] == 137
    assert (by_seed["d-oom"]["exit_code"], by_seed["d-oom"]["oom_killed"]) == (137, True)
    assert by_seed["d-health"]["health"] == "unhealthy"
    assert len(by_seed["d-exec"]["execs"]) == 1
    assert by_seed["p-exited"]["exit_code"] == 3
    assert by_seed["web/init"]["exit_code"] == 0


def test_description_is_json_and_names_what_exists(node: Node) -> None:
    description = json.loads(json.dumps(node.describe()))
    for path in description["sockets"].values():
        assert os.path.exists(path)
    for path in description["paths"].values():
        assert os.path.exists(path) or "youki" in path, path
    assert set(description["pids"]) == {"containerd", "docker", "podman"}
    assert "2.1" in description["versions"]["containerd"]


@pytest.mark.parametrize("image_store", [False, True])
def test_down_leaves_nothing(image_store: bool) -> None:
    conftest.require_lab()
    name = f"x{os.getpid()}"
    before = residue.snapshot(name)
    with Node(name, containerd_image_store=image_store) as mine:
        mine.second_containerd()
        seeds = [e for e in mine.population() if e["seed"] == "t-run"]
        assert len(seeds) == 3
        faults.kill(mine, mine.a_shim())
        mine.kill_daemon("docker")
    assert residue.difference(before, name) == []


def test_half_made_lab_is_taken_down() -> None:
    conftest.require_lab()
    name = f"h{os.getpid()}"
    before = residue.snapshot(name)
    mine = Node(name, engines=("containerd", "runc"), seed=False).start()
    try:
        os.unlink(mine.layout.path("daemons.json"))
    finally:
        left = teardown.take_down(name)
    assert left == []
    assert residue.difference(before, name) == []


def test_stopped_daemon_serves_again_after_the_block(node: Node) -> None:
    with faults.stopped_daemon(node, "docker") as pid:
        stat = processes.stat_of(pid)
        assert stat is not None
        assert stat.state == "T"
    assert node.entry("d-run")["state"] == "running"


def test_killed_daemon_starts_again_with_its_containers() -> None:
    conftest.require_lab()
    with Node(engines=("containerd", "docker"), seed=False) as mine:
        for namespace in ("default", "k8s.io"):
            seeds.import_images(mine, namespace)
            seeds.run_ctr(mine, "stays", *seeds.SLEEP, namespace=namespace)
        before = {e["id"]: e["pid"] for e in mine.population()}
        mine.kill_daemon("docker")
        mine.kill_daemon("containerd")
        mine.restart_daemon("containerd")
        mine.restart_daemon("docker")
        assert {e["id"]: e["pid"] for e in mine.population()} == before
        assert "RUNNING" in mine.clients.ctr("tasks", "list", namespace="k8s.io")


def test_foreign_process_is_refused(node: Node) -> None:
    with pytest.raises(LabError, match="no process of lab"):
        faults.stop(node, os.getpid())
    with (
        pytest.raises(LabError, match="not in the lab's folder"),
        faults.removed(node, "/etc/fstab"),
    ):
        pass


def test_process_in_state_d_goes_on_after_the_block(node: Node) -> None:
    beside = node.entry("t-run", "default")["pid"]
    with faults.uninterruptible(node, beside) as pid:
        stat = processes.stat_of(pid)
        assert stat is not None
        assert stat.state == "D"
        own = {name: path for name, path in processes.cgroups_of(beside).items() if path != "/"}
        assert own.items() <= processes.cgroups_of(pid).items()
    assert not processes.is_alive(pid, stat.start_ticks)


def test_blocked_mount_is_released_after_the_block(node: Node) -> None:
    pytest.importorskip("mfusepy")
    point = node.layout.path("blocked")
    with faults.blocked_mount(node, point) as mount:
        assert point in teardown.mounts_below(node.layout.dir)
        mount.release()
        with open(os.path.join(point, "file")) as file:
            assert file.read() == "served by the lab\n"
        mount.block()
    assert point not in teardown.mounts_below(node.layout.dir)


def test_removed_file_is_back_after_the_block(node: Node) -> None:
    path = os.path.join(node.layout.paths["runc_root"], "r-run", "state.json")
    with faults.removed(node, path):
        assert not os.path.exists(path)
    assert os.path.exists(path)


def test_many_fills_the_namespaces_in_proportion() -> None:
    conftest.require_lab()
    assert crowd.split(300) == {"moby": 150, "default": 90, "k8s.io": 60}
    assert sum(crowd.split(7).values()) == 7
    with many(10) as mine:
        listed = [
            line
            for namespace in ("moby", "default", "k8s.io")
            for line in mine.clients.ctr("tasks", "list", namespace=namespace).splitlines()[1:]
        ]
        assert [line.split()[2] for line in listed] == ["RUNNING"] * 10


def test_nested_engine_has_a_task_of_its_own() -> None:
    conftest.require_lab()
    name = f"e{os.getpid()}"
    before = residue.snapshot(name)
    with Node(name, engines=("docker",)) as mine:
        nested = mine.nested_engine()
        assert processes.is_alive(nested["inner_pid"])
        assert os.path.exists(nested["socket"])
        cgroups = processes.cgroups_of(nested["inner_pid"])
        assert f"{mine.layout.cgroup}/docker/{nested['outer_id']}/" in cgroups["memory"]
    assert residue.difference(before, name) == []


def test_strays_outside_the_labs_cgroup_are_taken_down() -> None:
    conftest.require_lab()
    name = f"w{os.getpid()}"
    before = residue.snapshot(name)
    with Node(name, engines=("docker", "podman"), seed=False) as mine:
        seeds.import_images(mine, "default")
        mine.clients.ctr("run", "-d", "--null-io", IMAGE, name, *seeds.SLEEP)
        mine.clients.ctr("tasks", "pause", name)
        mine.clients.podman("load", "-qi", mine.layout.path("img/busybox.tar"))
        mine.clients.podman("run", "-d", "--name", name, IMAGE, *seeds.SLEEP)
        strays = {e["pid"] for e in mine.population()}
        assert len(strays) == 2
        assert not strays & processes.members(mine.layout.cgroup)
        assert strays <= mine.processes().keys()
    assert residue.difference(before, name) == []


def test_frozen_container_is_thawed_after_the_block(node: Node) -> None:
    entry = node.entry("r-run")
    with faults.frozen(node, entry["pid"]):
        assert json.loads(node.clients.oci("runc", "state", "r-run"))["status"] == "paused"
    assert json.loads(node.clients.oci("runc", "state", "r-run"))["status"] == "running"


def test_lab_of_a_dead_owner_is_purged_and_no_other() -> None:
    conftest.require_lab()
    dead, alive = f"d{os.getpid()}", f"a{os.getpid()}"
    code = (
        "import os, sys; from tests.lab.node import Node; "
        "Node(sys.argv[1], engines=('runc',)).start(); os._exit(0)"
    )
    before = residue.snapshot(dead)
    subprocess.run([sys.executable, "-c", code, dead], check=True, cwd=ROOT)
    with Node(alive, engines=("runc",)) as mine:
        assert dead in teardown.purge_abandoned()
        assert mine.entry("r-run")["state"] == "running"
    assert residue.difference(before, dead) == []


def test_command_line_starts_tells_and_removes_a_lab(capsys: pytest.CaptureFixture[str]) -> None:
    conftest.require_lab()
    name = f"c{os.getpid()}"
    before = residue.snapshot(name)
    try:
        assert main(["up", name, "--engines", "runc"]) == 0
        assert main(["up", name, "--engines", "runc"]) == 0
        capsys.readouterr()
        assert main(["json", name]) == 0
        population = json.loads(capsys.readouterr().out)["population"]
        assert {e["seed"] for e in population} == {n for n in BARE if n.startswith("r-")}
        assert main(["status"]) == 0
        assert f"{name}: forky" in capsys.readouterr().out
    finally:
        assert main(["down", name]) == 0
    assert residue.difference(before, name) == []


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "x" * 22])
def test_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="lab name"):
        Layout(name)
