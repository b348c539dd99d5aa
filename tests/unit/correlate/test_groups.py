"""Identity: what merges, and above all what never does."""

from dataclasses import replace

from rtscope.correlate.groups import state_dir_of
from rtscope.model.records import OciState, Sandbox, Shim
from rtscope.model.refs import Ref
from rtscope.model.state import Engine, State
from tests.unit.correlate.build import (
    CONTAINERD,
    CRI,
    DOCKERD,
    GRAPH,
    KERNEL,
    OTHER_CONTAINERD,
    OTHER_STATE,
    PODMAN,
    STATE,
    Built,
    endpoint,
    hex_id,
    troubles,
)

C = hex_id(1)


def test_all_records_of_one_docker_container_are_one_row():
    node = Built(DOCKERD, CONTAINERD)
    _, init = node.docker(C)
    row = node.only()
    assert (row.engine, row.name, row.pid) == (Engine.DOCKER, "web", init.pid)
    assert {ref.origin for ref in row.refs} == {
        "/var/lib/docker", STATE, f"{STATE}/runc/moby",
    }  # fmt: skip
    assert troubles(row) == {}


def test_the_same_id_in_two_namespaces_is_two_rows():
    node = Built(CONTAINERD)
    _, one = node.ctr("c1", "default")
    _, other = node.ctr("c1", "build")
    rows = {row.namespace: row for row in node.rows()}
    assert {name: row.pid for name, row in rows.items()} == {
        "default": one.pid, "build": other.pid,
    }  # fmt: skip
    assert [troubles(row) for row in rows.values()] == [{}, {}]
    assert rows["default"].key != rows["build"].key


def test_the_same_id_in_two_containerds_is_two_rows():
    node = Built(CONTAINERD, OTHER_CONTAINERD)
    node.ctr("c1")
    node.below_containerd("default", "c1", OTHER_STATE)
    node.record(OTHER_CONTAINERD, "c1")
    rows = node.rows()
    assert sorted(row.origin for row in rows) == [STATE, OTHER_STATE]
    assert len({row.pid for row in rows}) == 2
    assert [troubles(row) for row in rows] == [{}, {}]


def test_docker_is_joined_with_the_containerd_that_it_was_seen_on():
    node = Built(replace(DOCKERD, below=OTHER_CONTAINERD.address), CONTAINERD, OTHER_CONTAINERD)
    _, init = node.below_containerd("moby", C, OTHER_STATE)
    node.record(OTHER_CONTAINERD, C, namespace="moby")
    node.record(DOCKERD, C)
    row = node.only()
    assert (row.engine, row.pid) == (Engine.DOCKER, init.pid)
    assert OTHER_STATE in (row.bundle_dir or "")


def test_docker_is_not_joined_with_a_containerd_that_nobody_linked_it_to():
    unlinked = replace(DOCKERD, below=None)
    node = Built(unlinked, CONTAINERD)
    node.record(unlinked, C, state=State.STOPPED, state_raw="exited", exit_code=0)
    node.record(CONTAINERD, C, namespace="moby")
    assert len(node.rows()) == 2


def test_docker_of_unknown_containerd_is_joined_by_the_cgroup_of_a_live_process():
    unlinked = replace(DOCKERD, below=None)
    node = Built(unlinked, CONTAINERD)
    node.record(unlinked, C)
    _, init = node.below_containerd("moby", C)
    row = node.only()
    assert (row.engine, row.pid) == (Engine.DOCKER, init.pid)


def test_the_cgroup_link_chooses_nothing_between_two_candidates():
    unlinked = replace(DOCKERD, below=None)
    node = Built(unlinked, CONTAINERD, OTHER_CONTAINERD)
    node.record(unlinked, C)
    node.below_containerd("moby", C)
    node.below_containerd("moby", C, OTHER_STATE)
    assert len(node.rows()) == 3


def test_a_short_name_is_no_cgroup_link():
    unlinked = replace(DOCKERD, below=None)
    node = Built(unlinked, CONTAINERD)
    node.record(unlinked, "c1")
    node.below_containerd("moby", "c1")
    assert len(node.rows()) == 2


def test_an_oci_state_is_joined_by_its_bundle_not_by_its_id():
    node = Built(CONTAINERD)
    node.ctr("c1")
    bare = endpoint("oci", "/run/runc")
    init = node.process(comm="sleep")
    node.add(
        bare,
        OciState(ref=Ref(origin="/run/runc", namespace="", id="c1"), oci_runtime="runc",
                 state=State.RUNNING, pid=init.pid, pid_start=init.start, bundle_dir="/srv/c1"),
    )  # fmt: skip
    rows = {row.engine: row for row in node.rows()}
    assert set(rows) == {Engine.CONTAINERD, Engine.OCI}
    assert rows[Engine.OCI].pid == init.pid


def test_a_bundle_below_var_run_is_the_one_below_run():
    node = Built(CONTAINERD)
    node.ctr("c1")
    source = f"oci://{STATE}/runc/default"
    node.records[source] = [
        replace(state, bundle_dir=f"/var{state.bundle_dir}") for state in node.records[source]
    ]
    assert troubles(node.only()) == {}


def test_a_nested_engine_is_never_its_hosts():
    node = Built(CONTAINERD)
    _, outer = node.ctr("c1")
    inner = node.shim("default", "c1", nested_in=outer.pid)
    child = node.process(inner.pid, container_id="c1", shim=inner)
    rows = {row.nested_in: row for row in node.rows()}
    assert set(rows) == {None, str(outer.pid)}
    assert rows[None].pid == outer.pid
    assert rows[str(outer.pid)].pid == child.pid
    assert rows[str(outer.pid)].shim_pid == inner.pid


def test_a_nested_engine_that_was_not_asked_is_unknown_and_no_problem():
    node = Built(CONTAINERD)
    _, outer = node.ctr("c1")
    inner = node.shim("default", "c2", nested_in=outer.pid)
    node.process(inner.pid, container_id="c2", shim=inner)
    row = next(row for row in node.rows() if row.nested_in)
    assert not row.has_problem
    assert "--nested" in (row.problem or "")


def test_another_users_store_never_merges_into_roots():
    node = Built(PODMAN)
    node.record(PODMAN, C, state=State.STOPPED, exit_code=0)
    users = endpoint("podmanfs", "/home/u/storage", origin=GRAPH, owner_uid=1000)
    node.record(users, C, state=State.STOPPED, exit_code=7)
    assert {row.uid: row.exit_code for row in node.rows()} == {None: 0, 1000: 7}


def test_a_users_state_file_never_merges_into_roots_container():
    node = Built(DOCKERD, CONTAINERD)
    _, init = node.docker(C)
    mine = endpoint("oci", "/run/user/1000/runc")
    node.add(
        mine,
        OciState(ref=Ref(origin=mine.address, namespace="", id=C), oci_runtime="runc",
                 owner_uid=1000, state=State.RUNNING, pid=init.pid, pid_start=init.start,
                 bundle_dir=f"{STATE}/io.containerd.runtime.v2.task/moby/{C}"),
    )  # fmt: skip
    rows = {row.uid: row for row in node.rows()}
    assert set(rows) == {None, 1000}
    assert mine.address not in {ref.origin for ref in rows[None].refs}


def test_another_node_is_never_joined_with_this_one():
    node = Built(DOCKERD, CONTAINERD)
    _, init = node.docker(C)
    far = endpoint("docker", "tcp://10.0.0.7:2376", origin="/var/lib/docker", is_remote=True,
                   namespace="moby", below="/run/containerd/containerd.sock")  # fmt: skip
    node.record(far, C, name="far", pid=init.pid)
    rows = {row.name: row for row in node.rows()}
    assert set(rows) == {"web", "far"}
    assert (rows["far"].pid, rows["far"].shim_pid, rows["far"].processes) == (None, None, ())
    assert (rows["far"].state, troubles(rows["far"])) == (State.RUNNING, {})


def test_a_recorded_pid_without_its_start_merges_nothing():
    node = Built(DOCKERD, CONTAINERD, PODMAN)
    _, init = node.docker(C)
    node.record(PODMAN, hex_id(2), pid=init.pid, name="liar")
    rows = {row.name: row for row in node.rows()}
    assert set(rows) == {"web", "liar"}
    assert rows["liar"].pid is None


def test_cri_and_containerd_are_joined_in_the_namespace_of_the_pods():
    node = Built(CRI, CONTAINERD)
    node.below_containerd("k8s.io", C)
    node.record(CONTAINERD, C, namespace="k8s.io")
    node.record(CRI, C, name="app")
    row = node.only()
    assert (row.engine, row.namespace, row.name) == (Engine.CRI, "k8s.io", "app")


def test_crio_is_joined_with_the_monitor_that_names_its_container():
    crio = endpoint("cri", "/run/crio/crio.sock")
    node = Built(crio)
    node.record(crio, C, name="app")
    sandbox = hex_id(2)
    node.add(crio, Sandbox(ref=Ref(origin=crio.address, namespace="", id=sandbox), pod_name="p"))
    for identifier, name in ((C, "k8s_app_p_ns_u_0"), (sandbox, "k8s_POD_p_ns_u_0")):
        key = node.process(comm="conmon", cgroup="/conmon")
        node.add(KERNEL, Shim(key=key, kind="conmon", id=identifier, name=name, process_state="S"))
        node.process(key.pid, container_id=identifier, shim=key)
    rows = {row.id: row for row in node.rows()}
    assert set(rows) == {C, sandbox}
    assert {row.engine for row in rows.values()} == {Engine.CRI}
    assert rows[sandbox].is_sandbox
    assert all(row.pid is not None for row in rows.values())


def test_cri_dockerd_is_joined_with_the_docker_below_it():
    over = endpoint("cri", "/run/cri-dockerd.sock", below=CONTAINERD.address, namespace="moby")
    node = Built(over, DOCKERD, CONTAINERD)
    node.docker(C, name="k8s_app_p_ns_u_0")
    node.record(over, C, name="app")
    row = node.only()
    assert (row.engine, row.name) == (Engine.CRI, "app")
    assert {claim.source.split(":")[0] for claim in row.layers["engine"].claims} == {
        "cri", "docker",
    }  # fmt: skip


def test_sandboxed_runtimes_share_a_pid_and_stay_apart():
    node = Built(CONTAINERD)
    shim = node.shim("default", "pod", kind="runsc-v1")
    sandbox = node.process(shim.pid, comm="exe", shim=shim, container_id="pod")
    for name in ("pod", "side"):
        node.record(CONTAINERD, name)
        root = endpoint("oci", "/run/containerd/runsc/default", namespace="default")
        node.add(
            root,
            OciState(ref=Ref(origin=root.address, namespace="default", id=name),
                     oci_runtime="runsc", state=State.RUNNING, pid=sandbox.pid,
                     pid_start=sandbox.start, sandbox_id="pod",
                     bundle_dir=f"{STATE}/io.containerd.runtime.v2.task/default/{name}"),
        )  # fmt: skip
    rows = {row.id: row for row in node.rows()}
    assert set(rows) == {"pod", "side"}
    assert {row.state for row in rows.values()} == {State.RUNNING}


def test_podman_is_joined_with_its_monitor_by_graph_root_and_id():
    node = Built(PODMAN)
    node.record(PODMAN, C, name="db")
    key = node.process(comm="conmon", cgroup="/conmon")
    node.add(KERNEL, Shim(key=key, kind="conmon", id=C, graph_root=GRAPH, process_state="S"))
    init = node.process(key.pid, container_id=C, shim=key)
    row = node.only()
    assert (row.engine, row.pid, row.shim_pid) == (Engine.PODMAN, init.pid, key.pid)


def test_a_monitor_of_another_graph_root_is_another_container():
    node = Built(PODMAN)
    node.record(PODMAN, C, state=State.STOPPED)
    key = node.process(comm="conmon", cgroup="/conmon")
    node.add(KERNEL, Shim(key=key, kind="conmon", id=C, graph_root="/srv/other", uid=1000))
    node.process(key.pid, shim=key)
    assert {row.uid for row in node.rows()} == {None, 1000}


def test_a_monitor_of_a_user_that_parents_nothing_is_no_row():
    node = Built(PODMAN)
    key = node.process(comm="conmon", cgroup="/conmon")
    node.add(KERNEL, Shim(key=key, kind="conmon", id=C, graph_root=GRAPH, uid=1000))
    assert node.rows() == []


def test_state_dir_of_reads_bundles_of_every_runtime_generation():
    assert state_dir_of("/run/containerd/io.containerd.runtime.v2.task/moby/x/") == (
        "/run/containerd", "moby", "x",
    )  # fmt: skip
    assert state_dir_of("/run/d/io.containerd.runtime.v1.linux/moby/x") == ("/run/d", "moby", "x")
    for path in (None, "", "/srv/bundle", "/run/io.containerd.runtime.v2.task", "/a/b/c/d"):
        assert state_dir_of(path) is None
