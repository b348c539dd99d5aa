"""The table of who should know a container, and every verdict that it can give."""

import pytest

from rtscope.correlate.expect import Expectation, Kind, conflict, expected, view_of, worst
from rtscope.model.inventory import Claim, LayerView
from rtscope.model.state import Layer, State, Verdict

LOWER = {Layer.SHIM, Layer.OCI, Layer.PROCESS, Layer.CGROUP}
CLAIM = Claim(source="s", state=State.RUNNING, pid=5)


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        (Kind.DOCKER, LOWER | {Layer.TASK, Layer.CONTAINER, Layer.ENGINE}),
        (Kind.CRI, LOWER | {Layer.TASK, Layer.CONTAINER, Layer.ENGINE, Layer.SANDBOX}),
        (Kind.CRI_DOCKER, LOWER | {Layer.TASK, Layer.CONTAINER, Layer.ENGINE, Layer.SANDBOX}),
        (Kind.CRIO, LOWER | {Layer.ENGINE, Layer.SANDBOX}),
        (Kind.CONTAINERD, LOWER | {Layer.TASK, Layer.CONTAINER}),
        (Kind.PODMAN, LOWER | {Layer.ENGINE}),
        (Kind.OCI, LOWER - {Layer.SHIM}),
        (Kind.UNKNOWN, {Layer.PROCESS}),
        (Kind.REMOTE, set()),
    ],
)
def test_a_running_container_is_known_by(kind, layers):
    assert expected(kind, State.RUNNING, has_init=True).always == layers
    assert expected(kind, State.CREATED, has_init=True).always == layers


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        (Kind.DOCKER, {Layer.ENGINE}),
        (Kind.CRI, {Layer.CONTAINER, Layer.ENGINE, Layer.SANDBOX}),
        (Kind.CRI_DOCKER, {Layer.ENGINE, Layer.SANDBOX}),
        (Kind.CRIO, {Layer.ENGINE, Layer.SANDBOX}),
        (Kind.CONTAINERD, {Layer.CONTAINER}),
        (Kind.PODMAN, {Layer.ENGINE}),
        (Kind.OCI, {Layer.OCI}),
        (Kind.UNKNOWN, set()),
        (Kind.REMOTE, set()),
    ],
)
def test_a_stopped_container_is_known_by(kind, layers):
    assert expected(kind, State.STOPPED, has_init=False).always == layers


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("has_init", [True, False])
def test_every_kind_in_every_state_has_a_row(kind, state, has_init):
    found = expected(kind, state, has_init=has_init)
    assert found.always | found.may <= set(Layer)


@pytest.mark.parametrize("kind", list(Kind))
def test_of_an_unknown_state_nothing_is_demanded(kind):
    assert expected(kind, State.UNKNOWN, has_init=False).always == set()


def test_a_sandboxed_container_need_not_have_its_own_cgroup():
    found = expected(Kind.CONTAINERD, State.RUNNING, has_init=False, is_sandboxed=True)
    assert Layer.CGROUP in found.may


# --------------------------------------------------------------- verdicts
ALWAYS = Expectation(always=frozenset({Layer.TASK}))
MAY = Expectation(may=frozenset({Layer.TASK}))
NOBODY = Expectation()
SILENT = {Layer.TASK: "the shim is silent"}


@pytest.mark.parametrize(
    ("claims", "expectation", "unknown", "clash", "verdict"),
    [
        ((CLAIM,), ALWAYS, {}, None, Verdict.OK),
        ((CLAIM,), MAY, {}, None, Verdict.OK),
        ((CLAIM,), ALWAYS, {}, "says x", Verdict.DIFFERS),
        ((CLAIM,), NOBODY, {}, None, Verdict.DIFFERS),
        ((CLAIM,), ALWAYS, SILENT, None, Verdict.UNKNOWN),
        ((), ALWAYS, SILENT, None, Verdict.UNKNOWN),
        ((), ALWAYS, {}, None, Verdict.MISSING),
        ((), MAY, {}, None, Verdict.NOT_EXPECTED),
        ((), NOBODY, SILENT, None, Verdict.NOT_EXPECTED),
    ],
)
def test_a_layer_gets(claims, expectation, unknown, clash, verdict):
    view = view_of(Layer.TASK, claims, expectation, unknown, clash)
    assert view.verdict is verdict
    assert view.claims == claims
    assert (view.why is None) == (verdict in (Verdict.OK, Verdict.NOT_EXPECTED))


@pytest.mark.parametrize("layer", list(Layer))
def test_every_layer_can_be_missing_in_words(layer):
    view = view_of(layer, (), Expectation(always=frozenset({layer})), {}, None)
    assert view.verdict is Verdict.MISSING
    assert view.why


@pytest.mark.parametrize(
    ("claim", "state", "pid", "word"),
    [
        (CLAIM, State.RUNNING, 5, None),
        (CLAIM, State.RUNNING, None, None),
        (CLAIM, State.RUNNING, 6, "says pid 5, the live init is 6"),
        (CLAIM, State.STOPPED, None, "says running, it is stopped"),
        (CLAIM, State.CREATED, 5, None),
        (CLAIM, State.UNKNOWN, 5, None),
        (Claim(source="s", state=State.UNKNOWN), State.RUNNING, 5, None),
        (Claim(source="s", state=State.STOPPED, state_raw="dead"), State.PAUSED, 1,
         "says dead, it is paused"),
    ],
)  # fmt: skip
def test_a_claim_conflicts_where_it_cannot_be_true(claim, state, pid, word):
    assert conflict((claim,), state, pid) == word


def test_the_worst_layer_is_the_rows_verdict_with_its_reason():
    views = [
        LayerView(verdict=Verdict.OK),
        LayerView(verdict=Verdict.UNKNOWN, why="u"),
        LayerView(verdict=Verdict.MISSING, why="m"),
        LayerView(verdict=Verdict.DIFFERS, why="d"),
    ]
    assert worst(views) == (Verdict.DIFFERS, "d")
    assert worst(views[:3]) == (Verdict.MISSING, "m")
    assert worst(views[:2]) == (Verdict.UNKNOWN, "u")
    assert worst(views[:1]) == (Verdict.OK, None)
    assert worst([]) == (Verdict.OK, None)
