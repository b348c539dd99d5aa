"""What was read first, brought up to the answers that came after it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtscope.backends.base import Targets
from rtscope.correlate import settle
from rtscope.correlate.join import join
from rtscope.correlate.settle import settled
from rtscope.model.inventory import Container
from rtscope.model.observation import Gap, Observation
from rtscope.model.records import Bundle, OciState, Process, Shim, Task
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import Reason, State, Verdict
from tests.unit.correlate.build import (
    CONTAINERD,
    DOCKERD,
    KERNEL,
    NODE,
    SHIMS,
    STATE,
    Built,
    bundle_path,
    endpoint,
    hex_id,
    runc_root,
)
from tests.unit.procfs.tree import Tree, rooted

C = hex_id(1)
ROOT = runc_root("moby")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(settle, "SHIM_GOES_S", 0.02)
    return rooted(tmp_path, monkeypatch)


class Clock:
    """A node whose /proc is read once, and may change before the records are looked at."""

    def __init__(self, node: Built, tree: Tree) -> None:
        self.node = node
        self.tree = tree

    def alive(self, *keys: ProcessKey, **facts: Any) -> None:
        for key in keys:
            self.tree.process(key.pid, "app", start=key.start, **facts)

    def bundle(self, namespace: str, identifier: str, *, is_new: bool = False) -> None:
        place = self.tree.directory(bundle_path(STATE, namespace, identifier))
        if not is_new:
            os.utime(place, (1_000_000, 1_000_000))

    def settled(self) -> list[Observation]:
        observations = self.node.observations()
        kernel = next(o for o in observations if o.kind == "procfs")
        others = [o for o in observations if o is not kernel]
        return list(settled(kernel, others, Targets(node=NODE, host=self.tree.host)))

    def rows(self) -> tuple[Container, ...]:
        return join(self.settled()).containers


def age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of the test are as old as it wants: the clock runs ahead of their ctime."""
    import time

    now = time.time()
    monkeypatch.setattr(settle.time, "time", lambda: now + 60)


def test_node_where_nothing_moves_is_returned_as_it_is(tree: Tree) -> None:
    clock = Clock(Built(DOCKERD, CONTAINERD), tree)
    clock.node.docker(C)
    before = clock.node.observations()
    kernel = next(o for o in before if o.kind == "procfs")
    others = [o for o in before if o is not kernel]
    found = settled(kernel, others, Targets(node=NODE, host=tree.host))
    assert found[0] is kernel
    assert all(one is other for one, other in zip(found[1:], others, strict=True))


def test_container_that_was_removed_meanwhile_is_no_row(tree: Tree) -> None:
    """Its daemons answered after it was gone; /proc and its files were read before."""
    clock = Clock(Built(DOCKERD, CONTAINERD), tree)
    clock.node.docker(C)
    clock.node.forget(DOCKERD)
    clock.node.forget(CONTAINERD)
    assert clock.rows() == ()


def test_container_that_nobody_knows_and_that_lives_stays(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(Built(DOCKERD, CONTAINERD), tree)
    shim, init = clock.node.docker(C)
    clock.node.forget(DOCKERD)
    clock.alive(shim, init)
    clock.bundle("moby", C)
    clock.tree.directory(f"{ROOT.address}/{C}")
    (row,) = clock.rows()
    assert row.pid == init.pid
    assert row.verdict is Verdict.MISSING


def test_pid_that_was_reused_meanwhile_is_another_process(tree: Tree) -> None:
    clock = Clock(Built(CONTAINERD), tree)
    shim, init = clock.node.ctr("c1")
    clock.node.forget(CONTAINERD)
    clock.alive(replace(shim, start=1), replace(init, start=2))
    assert clock.rows() == ()


def test_container_that_is_said_to_be_over_is_looked_up_again(tree: Tree) -> None:
    """CRI's list tells no time: that its init is gone has to be seen."""
    clock = Clock(Built(DOCKERD), tree)
    init = clock.node.process(container_id=C, cgroup=f"/docker/{C}")
    clock.node.record(DOCKERD, C, state=State.STOPPED, state_raw="exited")
    (row,) = clock.rows()
    assert row.pid is None
    assert row.verdict is Verdict.OK
    clock.alive(init)
    (row,) = clock.rows()
    assert row.processes == (init,)
    assert row.verdict is Verdict.DIFFERS


def test_init_that_started_meanwhile_is_found(tree: Tree) -> None:
    clock = Clock(Built(CONTAINERD), tree)
    shim, init = clock.node.ctr("c1", "default")
    kernel = clock.node.records[KERNEL.source]
    clock.node.records[KERNEL.source] = [
        r for r in kernel if not (isinstance(r, Process) and r.key == init)
    ]
    clock.alive(init, ppid=shim.pid, cgroup="0::/default/c1\n")
    clock.bundle("default", "c1")
    (row,) = clock.rows()
    assert (row.pid, row.shim_pid, row.state) == (init.pid, shim.pid, State.RUNNING)
    assert row.verdict is Verdict.OK


def test_init_of_another_start_is_not_taken_for_the_recorded_one(tree: Tree) -> None:
    clock = Clock(Built(CONTAINERD), tree)
    root = endpoint("oci", "/run/runc")
    ref = Ref(origin="/run/runc", namespace="", id="c1")
    clock.node.add(root, OciState(ref=ref, oci_runtime="runc", state=State.RUNNING, pid=77,
                                  pid_start=5))  # fmt: skip
    clock.alive(ProcessKey(pid=77, start=9))
    clock.tree.directory("/run/runc/c1")
    (row,) = clock.rows()
    assert row.pid is None


def test_bundle_that_is_being_made_is_no_row_yet(tree: Tree) -> None:
    """Its container was created after containerd was asked, its shim started after /proc."""
    clock = Clock(Built(CONTAINERD), tree)
    ref = Ref(origin=STATE, namespace="default", id="new")
    path = bundle_path(STATE, "default", "new")
    clock.node.add(SHIMS, Bundle(ref=ref, path=path))
    clock.node.add(SHIMS, Task(ref=ref, state=State.CREATED, pid=9, bundle_dir=path))
    clock.bundle("default", "new", is_new=True)
    assert clock.rows() == ()


def test_bundle_that_was_left_behind_long_ago_is_a_row(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(Built(CONTAINERD), tree)
    ref = Ref(origin=STATE, namespace="default", id="left")
    clock.node.add(SHIMS, Bundle(ref=ref, path=bundle_path(STATE, "default", "left")))
    clock.bundle("default", "left")
    age(monkeypatch)
    (row,) = clock.rows()
    assert row.id == "left"
    assert row.verdict is Verdict.MISSING


def test_shim_that_stays_behind_is_a_row(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(Built(CONTAINERD), tree)
    shim = clock.node.shim("default", "left")
    clock.alive(shim)
    clock.bundle("default", "left")
    age(monkeypatch)
    (row,) = clock.rows()
    assert row.shim_pid == shim.pid
    assert row.verdict is Verdict.MISSING


def test_shim_that_goes_within_its_time_is_no_row(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(Built(CONTAINERD), tree)
    shim = clock.node.shim("default", "going")
    clock.alive(shim)
    monkeypatch.setattr(settle, "SHIM_GOES_S", 30.0)

    def leave(_seconds: float) -> None:
        (tree.proc / str(shim.pid) / "stat").unlink(missing_ok=True)

    monkeypatch.setattr(settle.time, "sleep", leave)
    assert clock.rows() == ()


def test_sandboxed_runtimes_states_are_kept(tree: Tree) -> None:
    """Theirs are no directories named by the id."""
    root = endpoint("oci", "/run/runsc")
    ref = Ref(origin="/run/runsc", namespace="", id="g1")
    clock = Clock(Built(), tree)
    clock.node.add(root, OciState(ref=ref, oci_runtime="runsc", state=State.RUNNING))
    (row,) = clock.rows()
    assert row.id == "g1"


def test_other_nodes_pids_are_not_looked_up(tree: Tree) -> None:
    far = endpoint("podman", "tcp://far:8080", is_remote=True)
    clock = Clock(Built(), tree)
    clock.node.record(far, C, pid=4242)
    clock.alive(ProcessKey(pid=4242, start=1))
    kernel = clock.settled()[0]
    assert kernel.processes == ()


def test_pids_mean_others_in_another_pid_namespace(tree: Tree) -> None:
    clock = Clock(Built(DOCKERD), tree)
    clock.node.record(DOCKERD, C, pid=4242, state_raw="running")
    clock.alive(ProcessKey(pid=4242, start=1))
    clock.node.add(
        KERNEL,
        Gap(source=KERNEL.source, subject="daemon", missing="processes",
            reason=Reason.UNSUPPORTED, detail="not in the host's pid namespace"),
    )  # fmt: skip
    assert clock.settled()[0].processes == ()


def test_nested_shims_are_not_waited_for(tree: Tree) -> None:
    clock = Clock(Built(), tree)
    key = clock.node.process(comm="containerd-shim")
    clock.node.add(KERNEL, Shim(key=key, kind="runc-v2", namespace="moby", id=C, nested_in=9))
    assert clock.settled()[0].shims != ()
