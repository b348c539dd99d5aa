"""The one value that a row needs where claims disagree: state, pid, exit, times, image, pod."""

from dataclasses import replace
from datetime import timedelta

import pytest

from rtscope.model.records import (
    Bundle,
    ContainerRecord,
    KubeletPod,
    OciState,
    Pod,
    Process,
    Sandbox,
    Task,
)
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Engine, Layer, State, Verdict
from tests.unit.correlate.build import (
    CONTAINERD,
    CRI,
    DOCKERD,
    KERNEL,
    NOW,
    PODMAN,
    SHIMS,
    STATE,
    Built,
    bundle_path,
    endpoint,
    hex_id,
    troubles,
)

C = hex_id(1)


def ctr_ref(identifier):
    return Ref(origin=STATE, namespace="default", id=identifier)


# --------------------------------------------------------------- state
def test_a_live_init_is_running_whatever_records_say():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C, state=State.STOPPED, state_raw="exited")
    row = node.only()
    assert (row.state, row.state_raw, row.verdict) == (State.RUNNING, "exited", Verdict.DIFFERS)
    assert row.problem == "the engine says exited, it is running"


def test_a_frozen_init_is_paused():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C, is_frozen=True, state=State.PAUSED, state_raw="paused")
    assert node.only().state is State.PAUSED


@pytest.mark.parametrize("comm", ["runc:[2:INIT]", "youki:[2:INIT]", "crun:[2:INIT]"])
def test_an_init_that_waits_for_its_start_is_created(comm):
    node = Built(CONTAINERD)
    node.ctr("c1", comm=comm)
    row = node.only()
    assert (row.state, row.started_at) == (State.CREATED, None)
    assert row.pid is not None


def test_an_init_of_crun_waits_where_its_state_file_says_so():
    node = Built(CONTAINERD)
    node.ctr("c1", oci_runtime="crun")
    source = f"oci://{STATE}/crun/default"
    node.records[source] = [replace(s, state=State.CREATED) for s in node.records[source]]
    assert node.only().state is State.CREATED


def test_without_an_init_what_never_started_is_created():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, state=State.CREATED, state_raw="created")
    assert (node.only().state, node.only().verdict) == (State.CREATED, Verdict.OK)


def test_without_an_init_what_once_ran_is_stopped():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, state=State.RUNNING, state_raw="running")
    row = node.only()
    assert (row.state, row.pid, row.verdict) == (State.STOPPED, None, Verdict.DIFFERS)


def test_a_containerd_record_that_never_had_a_task_is_created():
    node = Built(CONTAINERD)
    node.record(CONTAINERD, "c1")
    assert (node.only().state, node.only().verdict) == (State.CREATED, Verdict.OK)


def test_without_proc_the_lowest_claim_is_the_state():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, state=State.RUNNING)
    node.add(SHIMS, Task(ref=Ref(origin=STATE, namespace="moby", id=C), state=State.PAUSED))
    node.change(KERNEL, state=EndpointState.DENIED)
    row = node.only()
    assert row.state is State.PAUSED
    assert row.layers[Layer.PROCESS].verdict is Verdict.UNKNOWN


def test_without_any_claim_the_state_is_unknown():
    node = Built(PODMAN)
    node.record(PODMAN, C, state=None)
    node.change(KERNEL, state=EndpointState.DENIED)
    assert node.only().state is State.UNKNOWN


def test_a_runsc_container_is_what_its_state_file_says():
    node = Built(CONTAINERD)
    node.ctr("c1", oci_runtime="runsc")
    source = f"oci://{STATE}/runsc/default"
    node.records[source] = [replace(s, state=State.STOPPED) for s in node.records[source]]
    assert node.only().state is State.STOPPED


def test_a_kata_container_is_what_its_shim_says():
    node = Built(CONTAINERD)
    shim = node.shim("default", "c1", kind="kata-v2")
    node.record(CONTAINERD, "c1")
    node.add(SHIMS, Bundle(ref=ctr_ref("c1"), path=bundle_path(STATE, "default", "c1")))
    node.add(SHIMS, Task(ref=ctr_ref("c1"), state=State.PAUSED, pid=shim.pid, shim=shim))
    row = node.only()
    assert (row.state, row.shim_pid) == (State.PAUSED, shim.pid)


def test_a_zombie_is_no_init():
    node = Built(CONTAINERD)
    _, init = node.ctr("c1")
    records = node.records[KERNEL.source]
    node.records[KERNEL.source] = [
        replace(r, state="Z") if isinstance(r, Process) and r.key == init else r for r in records
    ]
    assert (node.only().state, node.only().pid) == (State.STOPPED, None)


# --------------------------------------------------------------- pid
def test_a_reused_pid_is_no_init():
    node = Built(CONTAINERD)
    node.record(CONTAINERD, "c1")
    _, other = node.ctr("c2", container_id=None)
    node.add(SHIMS, Bundle(ref=ctr_ref("c1"), path="/b", init_pid=other.pid))
    node.add(
        SHIMS,
        Task(ref=ctr_ref("c1"), state=State.STOPPED, pid=other.pid, exit_code=3, finished_at=NOW),
    )
    rows = {row.id: row for row in node.rows()}
    assert rows["c2"].pid == other.pid
    assert (rows["c1"].pid, rows["c1"].state, rows["c1"].exit_code) == (None, State.STOPPED, 3)


def test_a_state_file_of_an_older_process_is_no_init():
    node = Built(PODMAN)
    stranger = node.process(comm="bash")
    root = endpoint("oci", "/run/crun")
    node.add(
        root,
        OciState(ref=Ref(origin="/run/crun", namespace="", id=C), oci_runtime="crun",
                 state=State.STOPPED, pid=stranger.pid, pid_start=7),
    )  # fmt: skip
    assert node.only().pid is None


def test_an_init_of_a_pods_shim_is_found_by_the_bundle():
    node = Built(CRI, CONTAINERD)
    shim, _ = node.below_containerd("k8s.io", hex_id(9))
    _, init = node.below_containerd("k8s.io", C, shim=shim, container_id=None)
    node.forget(SHIMS)
    node.forget(endpoint("oci", f"{STATE}/runc/k8s.io"))
    ref = Ref(origin=STATE, namespace="k8s.io", id=C)
    node.add(SHIMS, Bundle(ref=ref, path=bundle_path(STATE, "k8s.io", C), init_pid=init.pid))
    rows = {row.id: row for row in node.rows()}
    assert (rows[C].pid, rows[C].shim_pid) == (init.pid, shim.pid)


def test_processes_are_the_init_its_descendants_and_its_cgroup():
    node = Built(DOCKERD, CONTAINERD)
    shim, init = node.docker(C)
    child = node.process(init.pid, container_id=C, shim=shim)
    entered = node.process(shim.pid, container_id=C, shim=shim)
    row = node.only()
    assert row.processes[0] == init
    assert set(row.processes) == {init, child, entered}


# --------------------------------------------------------------- ends and times
def test_exit_code_and_time_are_the_lowest_layers_that_recorded_them():
    node = Built(DOCKERD, CONTAINERD)
    later = NOW + timedelta(seconds=1)
    node.record(DOCKERD, C, state=State.STOPPED, exit_code=0, finished_at=later)
    ref = Ref(origin=STATE, namespace="moby", id=C)
    node.add(SHIMS, Task(ref=ref, state=State.STOPPED, exit_code=137, finished_at=NOW))
    assert (node.only().exit_code, node.only().finished_at) == (137, NOW)


def test_a_running_row_has_no_exit():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C, exit_code=0, finished_at=NOW)
    assert (node.only().exit_code, node.only().finished_at) == (None, None)


def test_started_at_is_the_start_of_the_live_init():
    node = Built(DOCKERD, CONTAINERD)
    _, init = node.docker(C, started_at=NOW)
    boot = NOW - timedelta(seconds=100_000)
    assert node.only().started_at == boot + timedelta(seconds=init.start / 100)


def test_started_at_of_a_stopped_row_is_the_engines():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, state=State.STOPPED, exit_code=0, started_at=NOW)
    assert node.only().started_at == NOW


# --------------------------------------------------------------- names, pods, engines
def test_an_image_is_named_before_it_is_a_digest():
    node = Built(CRI, CONTAINERD)
    node.below_containerd("k8s.io", C)
    node.record(CONTAINERD, C, namespace="k8s.io", image_ref="registry.example/app:3")
    node.record(CRI, C, image_ref="sha256:" + hex_id(3))
    assert node.only().image_ref == "registry.example/app:3"


def test_a_row_without_a_record_is_described_by_its_bundle():
    node = Built(CONTAINERD)
    node.below_containerd("k8s.io", C)
    source = SHIMS.source
    spec = {
        "args": "nginx -g x",
        "annotation.io.kubernetes.cri.container-name": "web",
        "annotation.io.kubernetes.cri.image-name": "nginx:1",
        "annotation.io.kubernetes.cri.sandbox-name": "shop",
        "annotation.io.kubernetes.cri.sandbox-namespace": "prod",
        "annotation.io.kubernetes.cri.sandbox-id": hex_id(8),
    }
    node.records[source] = [
        replace(r, spec=spec) if isinstance(r, Bundle) else r for r in node.records[source]
    ]
    row = node.only()
    assert (row.engine, row.name, row.image_ref) == (Engine.CRI, "web", "nginx:1")
    assert row.command == "nginx -g x"
    assert row.pod == Pod(name="shop", namespace="prod", sandbox_id=hex_id(8))


def test_the_kubelets_directory_is_a_claim_of_its_layer():
    kubelet = endpoint("kubelet", "/var/lib/kubelet")
    node = Built(CRI, CONTAINERD, kubelet)
    node.below_containerd("k8s.io", C)
    node.record(CONTAINERD, C, namespace="k8s.io")
    node.record(CRI, C, name="app", pod=Pod(name="p", namespace="n", uid="u-1", sandbox_id="s"))
    node.add(CRI, Sandbox(ref=Ref(origin=STATE, namespace="k8s.io", id="s"), pod_uid="u-1"))
    node.add(kubelet, KubeletPod(uid="u-1", path="/var/lib/kubelet/pods/u-1"))
    node.add(kubelet, KubeletPod(uid="u-2", path="/var/lib/kubelet/pods/u-2"))
    rows = {row.id: row for row in node.rows()}
    for row in rows.values():
        assert [c.source for c in row.layers[Layer.KUBELET].claims] == [kubelet.source]
        assert row.layers[Layer.KUBELET].verdict is Verdict.OK


def test_a_pod_that_only_the_kernel_knows_is_named_by_the_kubelet():
    uid = "0f5b1a2c-1111-4222-8333-444455556666"
    kubelet = endpoint("kubelet", "/var/lib/kubelet")
    node = Built(kubelet)
    scope = f"kubepods-besteffort-pod{uid.replace('-', '_')}.slice/cri-containerd-{C}.scope"
    node.process(container_id=C, owner="cri", cgroup=f"/kubepods.slice/{scope}")
    node.add(kubelet, KubeletPod(uid=uid, name="shop", namespace="prod"))
    row = node.only()
    assert row.pod == Pod(name="shop", namespace="prod", uid=uid)
    assert row.layers[Layer.KUBELET].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("owner", "engine"),
    [("docker", Engine.DOCKER), ("podman", Engine.PODMAN), ("crio", Engine.CRI),
     ("cri", Engine.CRI), ("containerd", Engine.CONTAINERD), ("unknown", Engine.UNKNOWN)],
)  # fmt: skip
def test_a_live_cgroup_without_any_record_is_a_row(owner, engine):
    node = Built()
    init = node.process(container_id=C, owner=owner)
    child = node.process(init.pid, container_id=C, owner=owner, cgroup="/c/1001")
    row = node.only()
    assert (row.id, row.engine, row.pid, row.origin) == (C, engine, init.pid, "/proc")
    assert (row.state, row.processes) == (State.RUNNING, (init, child))


@pytest.mark.parametrize("owner", ["lxc", "nspawn", "buildkit", "libvirt-lxc"])
def test_what_is_no_engines_container_is_no_row(owner):
    node = Built()
    node.process(container_id="machine", owner=owner)
    assert node.rows() == []


def test_a_stray_that_its_engine_does_not_know_is_a_problem():
    node = Built(DOCKERD, CONTAINERD)
    node.process(container_id=C, owner="docker")
    row = node.only()
    assert row.verdict is Verdict.MISSING
    assert row.problem == "its engine does not know it"


def test_a_stray_of_an_engine_that_is_gone_is_unknown():
    node = Built()
    node.process(container_id=C, owner="docker")
    assert troubles(node.only())["engine"] == ("unknown", "no docker endpoint was found")


def test_a_restarting_container_is_in_motion_and_no_problem():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, state=State.RUNNING, state_raw="restarting", restart_count=7)
    row = node.only()
    assert (row.state_raw, row.restart_count, row.verdict) == ("restarting", 7, Verdict.OK)


def test_a_container_that_just_began_is_no_problem():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, state=State.RUNNING, created_at=NOW, state_raw="running")
    assert not node.only().has_problem


def test_a_shim_whose_bundle_is_gone_is_a_problem_of_its_container():
    node = Built(DOCKERD, CONTAINERD)
    shim = node.shim("moby", C)
    node.record(DOCKERD, C, state=State.STOPPED, state_raw="exited", exit_code=0)
    row = node.only()
    assert (row.shim_pid, row.verdict) == (shim.pid, Verdict.DIFFERS)
    assert row.problem == f"the shim (pid {shim.pid}) is still there"


def test_a_shim_that_nobody_knows_is_a_row_of_its_own():
    node = Built(DOCKERD, CONTAINERD)
    shim = node.shim("moby", C)
    row = node.only()
    assert (row.id, row.engine, row.shim_pid) == (C, Engine.DOCKER, shim.pid)
    assert row.has_problem


def test_the_engines_answer_ranks_above_its_state_directory():
    files = endpoint("dockerfs", "/var/lib/docker", origin="/var/lib/docker", namespace="moby")
    node = Built(files, DOCKERD, CONTAINERD)
    node.docker(C, name="now")
    ref = Ref(origin="/var/lib/docker", namespace="", id=C)
    node.add(files, ContainerRecord(ref=ref, layer=Layer.ENGINE, name="then", restart_count=4))
    row = node.only()
    assert (row.name, row.restart_count) == ("now", 4)
    assert row.endpoint == DOCKERD.address
