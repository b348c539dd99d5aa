"""The whole join: healthy nodes, faults, order, and what is carried over from before."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope.correlate.join import join
from rtscope.model.facts import replace
from rtscope.model.records import Process, Shim
from rtscope.model.state import EndpointState, Engine, Layer, State, Verdict
from tests.generate import generated_observations
from tests.unit.correlate.build import (
    CONTAINERD,
    DOCKERD,
    KERNEL,
    PODMAN,
    SHIMS,
    Built,
    endpoint,
    hex_id,
    troubles,
)

C, D = hex_id(1), hex_id(2)


def described(inventory):
    return [
        (c.key, c.engine, c.state, c.pid, c.name, c.verdict, c.problem, sorted(c.refs),
         sorted(c.processes), c.layers)
        for c in inventory.containers
    ]  # fmt: skip


@pytest.fixture(scope="module")
def generated():
    return generated_observations(60)


def test_a_healthy_node_has_no_problem(generated):
    rows = join(generated).containers
    assert {row.id: troubles(row) for row in rows if row.verdict is not Verdict.OK} == {}
    assert len([row for row in rows if not row.is_sandbox]) == 60
    assert {row.engine for row in rows} == {
        Engine.DOCKER, Engine.CONTAINERD, Engine.CRI, Engine.PODMAN,
    }  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_observations_does_not_matter(seed):
    observations = list(generated_observations(24))
    expected = described(join(observations))
    random.Random(seed).shuffle(observations)
    assert described(join(observations)) == expected


def test_any_subset_of_sources_joins_without_an_error(generated):
    for left_out in itertools.combinations(range(len(generated)), 2):
        rest = [o for n, o in enumerate(generated) if n not in left_out]
        rows = join(rest).containers
        assert len({row.key for row in rows}) == len(rows)


def test_the_kernel_alone_lists_every_running_container(generated):
    whole = {r.pid for r in join(generated).containers if r.pid}
    alone = join([o for o in generated if o.kind == "procfs"]).containers
    hexes = {r.pid for r in join(generated).containers if r.pid and len(r.id) == 64}
    assert hexes <= {row.pid for row in alone} <= whole
    assert not any(row.has_problem for row in alone)


# --------------------------------------------------------------- faults
@pytest.mark.parametrize(
    "state", [EndpointState.SILENT, EndpointState.STOPPED, EndpointState.DEAD, EndpointState.DENIED]
)
def test_a_daemon_that_does_not_answer_makes_its_layer_unknown(state):
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C)
    node.forget(DOCKERD)
    node.change(DOCKERD, state=state)
    row = node.only()
    assert (row.engine, row.state, row.verdict) == (Engine.DOCKER, State.RUNNING, Verdict.UNKNOWN)
    assert set(troubles(row)) == {"engine"}
    assert DOCKERD.address in (row.problem or "")


def test_a_silent_shim_makes_one_task_unknown():
    node = Built(CONTAINERD)
    shim, _ = node.ctr("c1", namespace="build")
    node.ctr("c1")
    node.records[SHIMS.source] = [
        r for r in node.records[SHIMS.source] if getattr(r, "shim", None) != shim
    ]
    node.gap(SHIMS, "c1", "task", f"shim {shim.pid}: no answer within 0.5 s")
    rows = {row.namespace: row for row in node.rows()}
    assert troubles(rows["default"]) == {}
    assert troubles(rows["build"]) == {
        "task": ("unknown", f"shim {shim.pid}: no answer within 0.5 s")
    }


def test_a_stopped_shim_is_unknown_with_its_state():
    node = Built(CONTAINERD)
    shim, _ = node.ctr("c1")
    source = KERNEL.source
    node.records[source] = [
        replace(r, process_state="T") if getattr(r, "kind", "") == "runc-v2" else r
        for r in node.records[source]
    ]
    assert troubles(node.only())["shim"] == (
        "unknown", f"shim {shim.pid} is stopped (state T)",
    )  # fmt: skip


def test_what_an_answering_engine_does_not_know_is_missing():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C)
    node.forget(DOCKERD)
    row = node.only()
    assert (row.verdict, row.problem) == (Verdict.MISSING, "its engine does not know it")


def test_a_dead_podman_service_is_no_trouble_where_its_storage_answers():
    files = endpoint("podmanfs", PODMAN.origin or "", origin=PODMAN.origin)
    for state in (EndpointState.INACTIVE, EndpointState.DEAD, EndpointState.ABSENT):
        node = Built(replace(PODMAN, state=state), files)
        node.record(files, C, state=State.STOPPED, exit_code=0)
        assert troubles(node.only()) == {}


def test_a_users_podman_is_not_missing_where_only_roots_answers():
    node = Built(PODMAN)
    key = node.process(comm="conmon", uid=1000)
    node.add(
        KERNEL,
        Shim(key=key, kind="conmon", id=C, uid=1000, graph_root="/home/u/storage",
             process_state="S"),
    )  # fmt: skip
    node.process(key.pid, container_id=C, shim=key, uid=1000)
    assert not node.only().has_problem


# --------------------------------------------------------------- previous
def test_keys_are_kept_while_sources_come_and_go():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C)
    first = node.seen()
    key = first.containers[0].key
    node.forget(DOCKERD)
    node.change(DOCKERD, state=EndpointState.SILENT)
    second = node.seen(first, 2)
    assert [c.key for c in second.containers] == [key]
    third = node.seen(second, 4)
    assert [c.key for c in third.containers] == [key]
    node.change(DOCKERD, state=EndpointState.OK)
    node.record(DOCKERD, C, name="web")
    assert [c.key for c in node.seen(third, 6).containers] == [key]


def test_the_key_stays_with_the_init_when_only_the_kernel_is_left():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C)
    before = node.seen()
    only_kernel = [o for o in node.observations(2) if o.kind == "procfs"]
    only_kernel[0] = replace(only_kernel[0], shims=())
    after = join(only_kernel, before)
    assert [c.key for c in after.containers] == [c.key for c in before.containers]


def test_what_a_silent_engine_said_is_kept_with_its_age():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C, name="web", image_ref="nginx:1", restart_count=2)
    first = node.seen()
    node.forget(DOCKERD)
    node.change(DOCKERD, state=EndpointState.SILENT)
    second = node.seen(first, 2)
    row = second.containers[0]
    assert (row.name, row.image_ref, row.restart_count, row.stale_s) == ("web", "nginx:1", 2, 2.0)
    third = node.seen(second, 5)
    assert (third.containers[0].name, third.containers[0].stale_s) == ("web", 5.0)
    node.change(DOCKERD, state=EndpointState.OK)
    node.record(DOCKERD, C, name="web-2")
    fourth = node.seen(third, 6)
    assert (fourth.containers[0].name, fourth.containers[0].stale_s) == ("web-2", None)


def test_a_stopped_container_of_a_silent_engine_stays_and_is_unknown():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, name="job", state=State.STOPPED, exit_code=3)
    first = node.seen()
    node.forget(DOCKERD)
    node.change(DOCKERD, state=EndpointState.SILENT)
    second = node.seen(first, 2)
    row = second.containers[0]
    assert (row.name, row.exit_code, row.stale_s) == ("job", 3, 2.0)
    assert row.verdict is Verdict.UNKNOWN
    assert node.seen(second, 9).containers[0].stale_s == 9.0


def test_a_removed_container_of_an_engine_that_answers_is_gone():
    node = Built(DOCKERD, CONTAINERD)
    node.record(DOCKERD, C, state=State.STOPPED)
    first = node.seen()
    node.forget(DOCKERD)
    assert node.seen(first, 2).containers == ()


def test_nothing_is_kept_where_the_stores_own_files_answer():
    files = endpoint("dockerfs", DOCKERD.origin or "", origin=DOCKERD.origin, namespace="moby")
    node = Built(DOCKERD, files, CONTAINERD)
    node.record(DOCKERD, C, state=State.STOPPED)
    first = node.seen()
    node.forget(DOCKERD)
    node.change(DOCKERD, state=EndpointState.DEAD)
    assert node.seen(first, 2).containers == ()


def test_a_new_container_of_an_old_name_gets_a_key_of_its_own():
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C, name="web")
    first = node.seen()
    node = Built(DOCKERD, CONTAINERD)
    node.docker(D, name="web")
    assert node.seen(first, 2).containers[0].key != first.containers[0].key


def test_processes_and_endpoints_are_those_of_the_node():
    node = Built(DOCKERD, CONTAINERD)
    _, init = node.docker(C)
    inventory = node.seen()
    assert isinstance(inventory.processes[init.pid], Process)
    assert {e.kind for e in inventory.endpoints} == {"docker", "containerd", "shim", "oci"}
    assert Layer.ENGINE in inventory.containers[0].layers
