from rtscope.cli.rounds import doubtful
from rtscope.model.facts import replace
from rtscope.model.records import Bundle, Process, Shim, Task
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import State
from tests.unit.capture.build import plain_observation

SHIM = ProcessKey(pid=51, start=5)
OTHER = ProcessKey(pid=52, start=6)
A, B, C = (Ref(origin="/run/containerd", namespace="moby", id=name) for name in "abc")


def kernel(live=(101, 102), states=("S", "S")):
    return plain_observation(
        kind="procfs",
        processes=tuple(
            Process(key=ProcessKey(pid=pid, start=pid), ppid=51, comm="x", state="S")
            for pid in live
        ),
        shims=tuple(
            Shim(key=key, kind="runc-v2", process_state=state)
            for key, state in zip((SHIM, OTHER), states, strict=True)
        ),
    )


SHIMS = plain_observation(
    kind="shim",
    bundles=tuple(Bundle(ref=ref, path=f"/b/{ref.id}") for ref in (A, B, C)),
    tasks=(
        Task(ref=A, state=State.RUNNING, pid=101, shim=SHIM),
        Task(ref=B, state=State.STOPPED, pid=7, shim=OTHER),
    ),
)


def test_nothing_is_doubtful_while_the_kernel_shows_the_same():
    assert doubtful(SHIMS, kernel(), kernel()) == set()


def test_container_whose_init_is_gone_is_doubtful():
    assert doubtful(SHIMS, kernel(), kernel(live=(102,))) == {A}


def test_shim_that_stopped_or_went_on_makes_its_containers_doubtful():
    stopped = kernel(states=("T", "S"))
    assert doubtful(SHIMS, kernel(), stopped) == {A, C}
    assert doubtful(SHIMS, stopped, kernel()) == {A, C}
    assert doubtful(SHIMS, stopped, stopped) == set()


def test_shim_that_is_merely_busy_is_not_doubtful():
    assert doubtful(SHIMS, kernel(), kernel(states=("R", "S"))) == set()


def test_records_are_not_changed():
    before = replace(SHIMS)
    doubtful(SHIMS, kernel(), kernel(live=()))
    assert before == SHIMS
