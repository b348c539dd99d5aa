"""A partial answer laid over a full one."""

from dataclasses import replace
from datetime import timedelta

from rtscope.correlate.fold import fold
from rtscope.model.observation import Observation
from rtscope.model.records import Task
from rtscope.model.refs import Ref
from rtscope.model.state import State
from tests.unit.correlate.build import NOW, SHIMS, STATE, Built

ONE, TWO = (Ref(origin=STATE, namespace="default", id=name) for name in ("one", "two"))


def shims(*tasks: Task, after_s: float = 0.0, scope: tuple[Ref, ...] | None = None) -> Observation:
    node = Built()
    node.add(SHIMS, *tasks)
    found = next(o for o in node.observations(after_s) if o.kind == "shim")
    return replace(found, scope=scope)


def running(ref: Ref, pid: int) -> Task:
    return Task(ref=ref, state=State.RUNNING, pid=pid)


def test_newer_record_replaces_the_older_one_of_its_ref() -> None:
    full = shims(running(ONE, 1), running(TWO, 2))
    found = fold(full, shims(running(ONE, 7), scope=(ONE,)))
    assert {task.ref: task.pid for task in found.tasks} == {ONE: 7, TWO: 2}


def test_record_that_was_asked_for_and_did_not_come_is_gone() -> None:
    full = shims(running(ONE, 1), running(TWO, 2))
    assert [task.ref for task in fold(full, shims(scope=(ONE,))).tasks] == [TWO]


def test_record_that_was_not_asked_for_stays() -> None:
    full = shims(running(ONE, 1))
    assert fold(full, shims(running(TWO, 2), scope=(TWO,))).tasks == (
        running(ONE, 1),
        running(TWO, 2),
    )


def test_gaps_of_what_was_asked_again_are_replaced() -> None:
    node = Built()
    node.gap(SHIMS, "one", "task", "shim 5 stopped (state T)")
    node.gap(SHIMS, "two", "task", "shim 6 stopped (state T)")
    full = next(o for o in node.observations() if o.kind == "shim")
    found = fold(full, shims(running(ONE, 1), scope=(ONE,)))
    assert [gap.subject for gap in found.gaps] == ["two"]


def test_answer_is_as_new_as_its_newest_part_and_keeps_its_scope() -> None:
    found = fold(shims(running(ONE, 1)), shims(after_s=5, scope=(ONE,)))
    assert found.taken_at == NOW + timedelta(seconds=5)
    assert found.scope is None


def test_folding_changes_neither_part() -> None:
    full, part = shims(running(ONE, 1)), shims(running(ONE, 2), scope=(ONE,))
    fold(full, part)
    assert full.tasks == (running(ONE, 1),)
    assert part.tasks == (running(ONE, 2),)
