"""Asking every source: whatever a backend does, the answer is an observation, and in time."""

import threading
import time
from typing import ClassVar

import pytest

from rtscope.backends import registry
from rtscope.backends.base import Draft, Targets
from rtscope.config.deadlines import Deadlines
from rtscope.correlate import collect as module
from rtscope.correlate.collect import Round, observe_endpoint
from rtscope.errors import BackendDeniedError, BackendTimeoutError, UsageError
from rtscope.model.observation import Endpoint, Node, Observation
from rtscope.model.records import ContainerRecord
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Layer, Reason
from rtscope.procfs.host import Host

PATIENCE_S = 30.0


@pytest.fixture
def answers(monkeypatch):
    """KIND -> what its backend does when it is asked."""
    behaviours = {}

    def backend_of(kind):
        if kind not in behaviours:
            raise UsageError(f"engine {kind}: no backend of that name")

        class Fake:
            name: ClassVar[str] = kind

            @classmethod
            def connect(cls, endpoint, deadlines):
                made = cls()
                made.endpoint = endpoint
                return made

            def observe(self, targets):
                return behaviours[kind](self.endpoint, targets)

            def close(self):
                if kind == "unclosable":
                    raise OSError("no")

        return Fake

    monkeypatch.setattr(module, "backend_of", backend_of)
    monkeypatch.setattr(registry, "backend_of", backend_of)
    return behaviours


@pytest.fixture
def targets(tmp_path):
    return Targets(node=Node(hostname="n"), host=Host(str(tmp_path)), deadlines=Deadlines())


def fine(endpoint, targets):
    draft = Draft(endpoint, targets)
    ref = Ref(origin=endpoint.address, namespace="", id="c")
    draft.add(ContainerRecord(ref=ref, layer=Layer.ENGINE))
    draft.answered(1.0)
    return draft.observation()


def raising(error):
    def behave(endpoint, targets):
        raise error

    return behave


def at(kind, **facts):
    return Endpoint(kind=kind, address=f"/run/{kind}", **facts)


def only_gap(observation):
    assert observation.containers == ()
    (gap,) = observation.gaps
    return gap


# --------------------------------------------------------------- one source
def test_an_answer_is_passed_on(answers, targets):
    answers["good"] = fine
    found = observe_endpoint(at("good"), targets)
    assert (len(found.containers), found.endpoint.state) == (1, EndpointState.OK)


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("x"), MemoryError(), RecursionError(), SystemExit(3), OSError(5)],
)
def test_whatever_a_backend_throws_is_a_gap(answers, targets, error):
    answers["bad"] = raising(error)
    found = observe_endpoint(at("bad"), targets)
    gap = only_gap(found)
    assert (gap.reason, found.endpoint.state) == (Reason.MALFORMED, EndpointState.MALFORMED)
    assert gap.detail.startswith("bad backend: ")


@pytest.mark.parametrize(
    ("error", "reason", "state"),
    [
        (BackendTimeoutError("late"), Reason.SILENT, EndpointState.SILENT),
        (BackendDeniedError("no", "owner root"), Reason.DENIED, EndpointState.DENIED),
        (UsageError("what"), Reason.UNSUPPORTED, EndpointState.MALFORMED),
    ],
)
def test_an_error_of_the_tree_keeps_its_meaning(answers, targets, error, reason, state):
    answers["bad"] = raising(error)
    found = observe_endpoint(at("bad"), targets)
    assert (only_gap(found).reason, found.endpoint.state) == (reason, state)


@pytest.mark.parametrize("answer", [None, "text", (), object()])
def test_an_answer_that_is_no_observation_is_a_gap(answers, targets, answer):
    answers["odd"] = lambda endpoint, targets: answer
    assert only_gap(observe_endpoint(at("odd"), targets)).reason is Reason.MALFORMED


def test_a_backend_that_cannot_be_closed_has_answered_all_the_same(answers, targets):
    answers["unclosable"] = fine
    assert len(observe_endpoint(at("unclosable"), targets).containers) == 1


def test_a_kind_without_a_backend_is_a_gap(answers, targets):
    assert only_gap(observe_endpoint(at("nothing"), targets)).reason is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    ("skip", "reason"),
    [(EndpointState.STOPPED, Reason.SILENT), (EndpointState.INACTIVE, Reason.INACTIVE),
     (EndpointState.DENIED, Reason.DENIED), (EndpointState.DEAD, Reason.REFUSED)],
)  # fmt: skip
def test_what_must_not_be_dialled_is_not(answers, targets, skip, reason):
    answers["good"] = raising(AssertionError("it was asked"))
    found = observe_endpoint(at("good", skip=skip, skip_detail="why"), targets)
    assert (found.endpoint.state, only_gap(found).reason) == (skip, reason)
    assert only_gap(found).detail == "why"


# --------------------------------------------------------------- all sources
def ask(targets, endpoints, limit_s=PATIENCE_S, heard=None):
    return Round(targets, time.monotonic() + limit_s, heard).ask(endpoints)


def test_answers_come_in_the_order_of_the_endpoints(answers, targets):
    for kind in ("docker", "cri", "plug", "shim"):
        answers[kind] = fine
    endpoints = [at("plug"), at("shim"), at("docker"), at("cri", skip=EndpointState.DEAD)]
    assert [o.kind for o in ask(targets, endpoints)] == ["plug", "shim", "docker", "cri"]


def test_one_that_hangs_delays_nobody_and_is_silent(answers, targets):
    hung, let_go = threading.Event(), threading.Event()

    def hang(endpoint, targets):
        hung.set()
        let_go.wait(PATIENCE_S)
        return fine(endpoint, targets)

    answers["stuck"], answers["good"] = hang, fine
    heard: list[Observation] = []

    def note(observation):
        heard.append(observation)
        hung.wait(PATIENCE_S)
        asked._end = 0.0  # time is up as soon as the other has answered

    asked = Round(targets, time.monotonic() + PATIENCE_S, note)
    try:
        stuck, good = asked.ask([at("stuck"), at("good")])
        assert hung.is_set()
        assert len(good.containers) == 1
        assert stuck.endpoint.state is EndpointState.SILENT
        assert only_gap(stuck).reason is Reason.SILENT
        assert "not done within 2.5 s" in only_gap(stuck).detail
        assert sorted(o.kind for o in heard) == ["good", "stuck"]
        names = {t.name: t for t in threading.enumerate()}
        assert names[at("stuck").source].daemon
    finally:
        let_go.set()
        for thread in threading.enumerate():
            if thread.name == at("stuck").source:
                thread.join(PATIENCE_S)


def test_one_that_throws_in_its_thread_is_a_gap(answers, targets):
    answers["bad"], answers["good"] = raising(SystemExit()), fine
    bad, good = ask(targets, [at("bad"), at("good")])
    assert only_gap(bad).reason is Reason.MALFORMED
    assert good.containers


@pytest.fixture
def no_threads(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_without_threads_one_source_is_asked_after_another(answers, targets, no_threads):
    told = []

    def note(endpoint, targets):
        told.append((endpoint.kind, targets.may_thread))
        return fine(endpoint, targets)

    answers["docker"] = answers["plug"] = note
    found = ask(targets, [at("plug"), at("docker")])
    assert told == [("docker", False), ("plug", False)]
    assert all(o.containers for o in found)


def test_without_threads_and_time_a_source_is_a_gap(answers, targets, no_threads):
    answers["good"] = raising(AssertionError("it was asked"))
    (found,) = ask(targets, [at("good")], limit_s=-1.0)
    assert (only_gap(found).reason, only_gap(found).detail) == (
        Reason.UNSUPPORTED, "no thread available",
    )  # fmt: skip
