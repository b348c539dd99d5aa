"""Sources are read one after another: what changed meanwhile is called no problem."""

from dataclasses import replace
from datetime import timedelta

import pytest

from rtscope.correlate.join import join
from rtscope.model.records import Shim
from rtscope.model.state import State, Verdict
from tests.unit.correlate.build import (
    CONTAINERD,
    DOCKERD,
    KERNEL,
    NODE,
    NOW,
    PODMAN,
    SHIMS,
    Built,
    hex_id,
    runc_root,
    troubles,
)

C = hex_id(1)
LONG_AGO = NOW - timedelta(hours=1)


def ticks(seconds_ago: float) -> int:
    assert NODE.btime is not None
    return int((NOW.timestamp() - seconds_ago - NODE.btime) * NODE.clk_tck)


def exited(finished_ago_s: float) -> Built:
    """Docker says that it ended; /proc, read before, showed it alive."""
    node = Built(DOCKERD, CONTAINERD)
    node.docker(
        C, state=State.STOPPED, state_raw="exited", exit_code=0,
        finished_at=NOW - timedelta(seconds=finished_ago_s),
    )  # fmt: skip
    return node


def test_container_that_ended_a_moment_ago_has_no_problem() -> None:
    assert troubles(exited(0.3).only()) == {}


def test_container_that_ended_long_ago_and_lives_is_a_problem() -> None:
    row = exited(60).only()
    assert row.state is State.RUNNING
    assert troubles(row) == {"engine": ("differs", "the engine says exited, it is running")}
    assert row.verdict is Verdict.DIFFERS
    assert row.problem == "the engine says exited, it is running"


@pytest.mark.parametrize("word", ["restarting", "removing", "stopping"])
def test_container_in_transition_has_no_problem(word: str) -> None:
    node = Built(DOCKERD)
    node.record(DOCKERD, C, state=State.RUNNING, state_raw=word)
    row = node.only()
    assert troubles(row) == {}
    assert row.state_raw == word


def test_container_that_claims_to_run_without_a_process_is_a_problem() -> None:
    node = Built(DOCKERD)
    node.record(DOCKERD, C, state=State.RUNNING, state_raw="running", started_at=LONG_AGO)
    row = node.only()
    assert row.state is State.STOPPED
    assert troubles(row) == {"engine": ("differs", "the engine says running, it is stopped")}


def test_container_that_started_a_moment_ago_need_not_be_known_yet() -> None:
    node = Built(CONTAINERD, runc_root("default"))
    shim = node.shim("default", "new")
    init = node.process(shim.pid, container_id="new", shim=shim)
    young = replace(init, start=ticks(0.5))
    records = node.records[KERNEL.source]
    records[-1] = replace(records[-1], key=young)
    row = node.only()
    assert row.pid == init.pid
    assert troubles(row) == {}


def test_shim_that_started_long_ago_and_nobody_knows_is_a_problem() -> None:
    node = Built(CONTAINERD)
    shim = node.shim("default", "old")
    node.process(shim.pid, container_id="old", shim=shim)
    assert troubles(node.only())["container"] == ("missing", "containerd does not know it")


def test_init_that_came_after_proc_was_read_is_unknown_and_no_problem() -> None:
    node = Built(CONTAINERD)
    node.ctr("c1")
    kernel = node.records[KERNEL.source]
    node.records[KERNEL.source] = [r for r in kernel if isinstance(r, Shim)]
    row = node.only()
    assert row.state is State.RUNNING
    assert row.pid is None
    late = ("unknown", "it was not there yet when /proc was read")
    assert troubles(row) == {"process": late, "cgroup": late}


def test_unknown_layer_of_a_container_in_motion_stays_unknown() -> None:
    node = exited(0.3)
    node.forget(SHIMS)
    node.gap(SHIMS, C, "task", "shim 1001 stopped (state T)")
    assert troubles(node.only()) == {"task": ("unknown", "shim 1001 stopped (state T)")}


def test_motion_is_measured_from_the_source_that_was_read_first() -> None:
    """A view keeps docker's answer of some seconds ago beside a new look at /proc."""
    node = exited(4)
    observations = node.observations()
    old = [
        replace(o, taken_at=NOW - timedelta(seconds=5)) if o.kind == "containerd" else o
        for o in observations
    ]
    assert troubles(join(observations).containers[0]) != {}
    assert troubles(join(old).containers[0]) == {}


def test_podman_monitor_that_is_cleaning_up_is_no_problem() -> None:
    node = Built(PODMAN)
    node.process(comm="conmon")
    key = node.process(comm="conmon")
    node.add(
        KERNEL,
        Shim(key=key, kind="conmon", id=C, name="db", graph_root=PODMAN.origin,
             bundle_dir=f"{PODMAN.origin}/overlay-containers/{C}/userdata", process_state="S"),
    )  # fmt: skip
    node.record(PODMAN, C, state=State.STOPPED, state_raw="exited",
                finished_at=NOW - timedelta(seconds=1))  # fmt: skip
    assert troubles(node.only()) == {}


def test_podman_monitor_that_stays_is_a_problem() -> None:
    node = Built(PODMAN)
    key = node.process(comm="conmon")
    node.add(
        KERNEL,
        Shim(key=key, kind="conmon", id=C, name="db", graph_root=PODMAN.origin,
             bundle_dir=f"{PODMAN.origin}/overlay-containers/{C}/userdata", process_state="S"),
    )  # fmt: skip
    node.record(PODMAN, C, state=State.STOPPED, state_raw="exited", finished_at=LONG_AGO)
    assert troubles(node.only()) == {
        "shim": ("differs", f"the shim (pid {key.pid}) is still there")
    }
