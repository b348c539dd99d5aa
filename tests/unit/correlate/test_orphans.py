"""Processes of containers that nobody has a record of, and those that a container left behind."""

from rtscope.model.records import Shim
from rtscope.model.state import Engine, State, Verdict
from tests.unit.correlate.build import (
    CONTAINERD,
    DOCKERD,
    KERNEL,
    Built,
    hex_id,
    runc_root,
    troubles,
    verdicts,
)

C, D = hex_id(1), hex_id(2)
SCOPE = f"/system.slice/docker-{C}.scope"


def orphan(node: Built, **facts: object) -> None:
    known = {"cgroup": SCOPE, "container_id": C, "owner": "docker"}
    first = node.process(**{**known, **facts})
    node.process(first.pid, comm="worker", **{**known, **facts})


def test_orphan_is_a_row_of_the_engine_that_its_cgroup_names() -> None:
    node = Built(DOCKERD, CONTAINERD, runc_root("moby"))
    orphan(node)
    row = node.only()
    assert (row.id, row.engine, row.state, row.pid) == (C, Engine.DOCKER, State.RUNNING, 1001)
    assert [key.pid for key in row.processes] == [1001, 1002]
    assert row.cgroup_path == SCOPE
    assert row.verdict is Verdict.MISSING
    assert verdicts(row) == {
        "engine": "missing", "container": "missing", "task": "missing", "shim": "missing",
        "oci": "missing", "process": "ok", "cgroup": "ok",
    }  # fmt: skip


def test_orphan_without_a_daemon_to_ask_is_unknown_there() -> None:
    node = Built()
    orphan(node)
    row = node.only()
    assert troubles(row)["engine"] == ("unknown", "no docker endpoint was found")


def test_orphan_of_an_unknown_owner_is_a_row_of_no_engine() -> None:
    node = Built()
    orphan(node, owner="garden")
    row = node.only()
    assert row.engine is Engine.UNKNOWN
    assert row.verdict is Verdict.OK


def test_processes_of_system_containers_and_builds_are_no_rows() -> None:
    node = Built()
    for owner in ("lxc", "nspawn", "buildkit", "libvirt-lxc"):
        node.process(cgroup=f"/{owner}/box", container_id="box", owner=owner)
    assert node.rows() == []


def test_zombie_is_no_orphan() -> None:
    node = Built()
    orphan(node, state="Z")
    assert node.rows() == []


def test_two_orphans_are_two_rows() -> None:
    node = Built()
    orphan(node)
    orphan(node, container_id=D, cgroup=f"/system.slice/docker-{D}.scope")
    assert sorted(row.id for row in node.rows()) == [C, D]


def test_equal_short_names_in_two_cgroups_are_two_orphans() -> None:
    node = Built()
    for namespace in ("default", "build"):
        orphan(node, container_id="c1", cgroup=f"/{namespace}/c1", owner="containerd")
    assert sorted(row.cgroup_path or "" for row in node.rows()) == ["/build/c1", "/default/c1"]
    assert len({row.key for row in node.rows()}) == 2


def test_exec_session_is_its_containers_and_no_orphan() -> None:
    """A monitor of an exec session does not count: its child hangs on no shim."""
    node = Built(DOCKERD, CONTAINERD)
    _, init = node.docker(C, cgroup=SCOPE)
    session = node.process(cgroup=f"{SCOPE}/deeper", container_id=C, owner="docker")
    row = node.only()
    assert row.pid == init.pid
    assert session in row.processes


def test_orphan_beside_a_container_of_the_same_name_is_seen() -> None:
    node = Built(CONTAINERD)
    node.ctr("c1", cgroup="/default/c1")
    node.process(cgroup="/build/c1", container_id="c1", owner="containerd")
    assert len(node.rows()) == 2


def test_what_a_stopped_container_left_behind_is_a_problem() -> None:
    """With the host's pid namespace the init's end does not end the others."""
    node = Built(DOCKERD)
    node.record(DOCKERD, C, state=State.STOPPED, state_raw="exited", exit_code=0)
    left = node.process(cgroup=SCOPE, container_id=C, owner="docker")
    row = node.only()
    assert row.state is State.STOPPED
    assert row.pid is None
    assert row.processes == (left,)
    assert troubles(row) == {"process": ("differs", f"the process (pid {left.pid}) is still there")}


def test_processes_inside_a_nested_container_are_the_inner_rows() -> None:
    node = Built(DOCKERD, CONTAINERD)
    _, outer = node.docker(C, cgroup=SCOPE)
    shim = node.process(outer.pid, comm="containerd-shim", cgroup=SCOPE, container_id=C)
    node.add(
        KERNEL,
        Shim(key=shim, kind="runc-v2", namespace="moby", id=D, process_state="S",
             bundle_dir=f"/run/containerd/io.containerd.runtime.v2.task/moby/{D}",
             nested_in=outer.pid),
    )  # fmt: skip
    inner = node.process(shim.pid, cgroup=f"{SCOPE}/docker/{D}", container_id=D, shim=shim)
    rows = {row.id: row for row in node.rows()}
    assert set(rows) == {C, D}
    assert rows[D].pid == inner.pid
    assert rows[D].nested_in is not None
