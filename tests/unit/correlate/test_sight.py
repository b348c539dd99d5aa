"""What may be said of containers where /proc shows too little."""

from dataclasses import replace

import pytest

from rtscope.correlate.join import join
from rtscope.model.inventory import Container
from rtscope.model.observation import Gap, Observation
from rtscope.model.records import Process
from rtscope.model.state import EndpointState, Reason, State, Verdict
from tests.unit.correlate.build import CONTAINERD, DOCKERD, Built, hex_id, troubles

C = hex_id(1)
HIDEPID = "only own processes are visible: /proc is mounted with hidepid"


def blind(observation: Observation) -> Observation:
    note = Gap(
        source=observation.source, subject="daemon", missing="processes", reason=Reason.DENIED,
        detail=HIDEPID,
    )  # fmt: skip
    return replace(observation, processes=(), shims=(), daemons=(), gaps=(note,))


def seen_blindly(node: Built) -> Container:
    observations = [blind(o) if o.kind == "procfs" else o for o in node.observations()]
    (row,) = join(observations).containers
    return row


def running() -> Built:
    node = Built(DOCKERD, CONTAINERD)
    node.docker(C)
    return node


def test_hidden_processes_leave_the_state_to_the_lowest_claim() -> None:
    row = seen_blindly(running())
    assert row.state is State.RUNNING
    assert row.pid is None


def test_hidden_processes_are_unknown_and_no_problem() -> None:
    row = seen_blindly(running())
    hidden = ("unknown", HIDEPID)
    assert troubles(row) == {"process": hidden, "cgroup": hidden, "shim": hidden}
    assert row.verdict is Verdict.UNKNOWN
    assert row.problem == HIDEPID


def test_without_proc_the_engines_word_stands() -> None:
    node = running()
    observations = [o for o in node.observations() if o.kind in ("docker", "containerd")]
    (row,) = join(observations).containers
    assert row.state is State.RUNNING
    assert troubles(row)["process"] == ("unknown", "/proc was not read")


def test_proc_that_may_not_be_read_is_not_an_empty_node() -> None:
    node = running()
    observations = [
        replace(o, processes=(), shims=(), endpoint=replace(o.endpoint, state=EndpointState.DENIED))
        if o.kind == "procfs"
        else o
        for o in node.observations()
    ]
    (row,) = join(observations).containers
    assert row.state is State.RUNNING
    assert row.verdict is Verdict.UNKNOWN


def test_stopped_container_is_stopped_without_proc_too() -> None:
    node = Built(DOCKERD)
    node.record(DOCKERD, C, state=State.STOPPED, state_raw="exited", exit_code=2)
    row = seen_blindly(node)
    assert (row.state, row.exit_code, row.verdict) == (State.STOPPED, 2, Verdict.OK)


def test_relative_cgroup_paths_hide_no_process() -> None:
    note = Gap(source="procfs:///proc", subject="daemon", missing="cgroups",
               reason=Reason.UNSUPPORTED, detail="not in the host's cgroup namespace")  # fmt: skip
    observations = [
        replace(o, gaps=(note,)) if o.kind == "procfs" else o for o in running().observations()
    ]
    (row,) = join(observations).containers
    assert row.pid is not None
    assert row.verdict is Verdict.OK


def test_another_users_orphan_is_unknown_without_root() -> None:
    node = Built(DOCKERD, CONTAINERD)
    node.process(uid=1001, cgroup=f"/user.slice/libpod-{C}.scope", container_id=C, owner="podman")
    observations = [replace(o, node=replace(o.node, euid=1000)) for o in node.observations()]
    (row,) = join(observations).containers
    assert row.verdict is Verdict.UNKNOWN
    assert row.problem == "only root can read its records"


@pytest.mark.parametrize("letter", ["Z", "X"])
def test_init_that_waits_to_be_reaped_is_no_live_init(letter: str) -> None:
    """Under a shim that stands still the init's end is not noticed by anybody."""
    node = running()
    observations = [
        replace(
            o,
            processes=tuple(
                replace(p, state=letter) if p.container_id else p
                for p in o.processes
                if isinstance(p, Process)
            ),
        )
        for o in node.observations()
    ]
    (row,) = join(observations).containers
    assert row.pid is None
    assert row.state is State.STOPPED
    assert troubles(row)["engine"] == ("differs", "the engine says running, it is stopped")
