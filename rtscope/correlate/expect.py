"""Which layers should know a container, and what each one's claims amount to.

One table. `always`: it should know it. `may`: it is free to know it. Everything else should not.
"""

from collections.abc import Iterable, Mapping, Sequence

from rtscope.model.facts import fact
from rtscope.model.inventory import Claim, LayerView
from rtscope.model.state import Engine, Layer, State, Verdict

_RUNS = frozenset({State.RUNNING, State.PAUSED})

_BELOW_CONTAINERD = frozenset({Layer.TASK, Layer.SHIM, Layer.OCI, Layer.PROCESS, Layer.CGROUP})


@fact
class Expectation:
    """Layers that should, and layers that may, know a container."""

    always: frozenset[Layer] = frozenset()
    may: frozenset[Layer] = frozenset()


def _live(*upper: Layer) -> Expectation:
    return Expectation(always=_BELOW_CONTAINERD | frozenset(upper))


_ENGINE, _CONTAINER, _SANDBOX, _OCI = Layer.ENGINE, Layer.CONTAINER, Layer.SANDBOX, Layer.OCI
_PROCESS, _CGROUP, _SHIM, _TASK = Layer.PROCESS, Layer.CGROUP, Layer.SHIM, Layer.TASK

_LIVE: Mapping[Engine, Expectation] = {
    Engine.DOCKER: _live(_ENGINE, _CONTAINER),
    Engine.CRI: _live(_ENGINE, _CONTAINER, _SANDBOX),
    Engine.CONTAINERD: _live(_CONTAINER),
    Engine.PODMAN: Expectation(always=frozenset({_ENGINE, _SHIM, _OCI, _PROCESS, _CGROUP})),
    Engine.OCI: Expectation(
        always=frozenset({_OCI, _PROCESS, _CGROUP}), may=frozenset({_SHIM, _TASK})
    ),
    Engine.UNKNOWN: Expectation(
        always=frozenset({_PROCESS}), may=_BELOW_CONTAINERD | {_ENGINE, _CONTAINER}
    ),
}
"""Running, paused, and created with an init that waits."""

_OVER: Mapping[Engine, Expectation] = {
    Engine.DOCKER: Expectation(always=frozenset({_ENGINE})),
    Engine.CRI: Expectation(
        always=frozenset({_ENGINE, _CONTAINER, _SANDBOX}), may=frozenset({_TASK})
    ),
    # A task that ended keeps its shim until somebody deletes it: `ctr run -d` leaves it so.
    Engine.CONTAINERD: Expectation(
        always=frozenset({_CONTAINER}), may=frozenset({_TASK, _SHIM, _OCI})
    ),
    Engine.PODMAN: Expectation(always=frozenset({_ENGINE}), may=frozenset({_OCI})),
    Engine.OCI: Expectation(always=frozenset({_OCI})),
    Engine.UNKNOWN: Expectation(may=_BELOW_CONTAINERD | {_ENGINE, _CONTAINER}),
}
"""Stopped, and created without a process."""


def expected(engine: Engine, state: State, *, has_init: bool, is_sandboxed: bool) -> Expectation:
    """The row of the table for one container."""
    if has_init or state in _RUNS:
        found = _LIVE[engine]
        if is_sandboxed:
            return Expectation(always=found.always - {_CGROUP}, may=found.may | {_CGROUP})
        return found
    if state is State.UNKNOWN:
        found = _LIVE[engine]
        return Expectation(may=found.always | found.may)
    return _OVER[engine]


_COMPATIBLE = frozenset(
    {
        frozenset({State.RUNNING, State.CREATED}),
    }
)
"""Words that differ for a moment while a container starts: sources are read at different times."""


def conflict(claims: Sequence[Claim], state: State, pid: int | None) -> str | None:
    """What a layer says that cannot be true of this container; None if it agrees."""
    for claim in claims:
        if claim.pid is not None and pid is not None and claim.pid != pid:
            return f"says pid {claim.pid}, the live init is {pid}"
        if claim.state in (None, State.UNKNOWN) or state is State.UNKNOWN:
            continue
        if claim.state is not state and frozenset({claim.state, state}) not in _COMPATIBLE:
            word = claim.state_raw or claim.state
            return f"says {word}, it is {state}"
    return None


@fact
class Asked:
    """What is known about whether a layer could be asked.

    Attributes:
        unknown: Layer -> why it could not be asked.
    """

    unknown: Mapping[Layer, str]


def view_of(
    layer: Layer,
    claims: tuple[Claim, ...],
    expectation: Expectation,
    asked: Asked,
    clash: str | None,
) -> LayerView:
    """The verdict on one layer."""
    if claims:
        if clash is not None:
            return LayerView(verdict=Verdict.DIFFERS, claims=claims, why=f"{layer} {clash}")
        if layer not in expectation.always and layer not in expectation.may:
            return LayerView(verdict=Verdict.DIFFERS, claims=claims, why=f"{layer} still knows it")
        if layer in asked.unknown:
            return LayerView(verdict=Verdict.UNKNOWN, claims=claims, why=asked.unknown[layer])
        return LayerView(verdict=Verdict.OK, claims=claims)
    if layer not in expectation.always:
        return LayerView(verdict=Verdict.NOT_EXPECTED)
    if layer in asked.unknown:
        return LayerView(verdict=Verdict.UNKNOWN, why=asked.unknown[layer])
    return LayerView(verdict=Verdict.MISSING, why=f"{layer} does not know it")


_WORST = (Verdict.DIFFERS, Verdict.MISSING, Verdict.UNKNOWN)


def worst(views: Iterable[LayerView]) -> tuple[Verdict, str | None]:
    """The verdict of the row, with the reason of its worst layer."""
    views = tuple(views)
    for verdict in _WORST:
        for view in views:
            if view.verdict is verdict:
                return verdict, view.why
    return Verdict.OK, None
