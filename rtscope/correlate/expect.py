"""Which layers should know a container, and what each one's claims amount to.

One table. `always`: it should know it. `may`: it is free to know it. Everything else should not.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from rtscope.model.facts import fact
from rtscope.model.inventory import Claim, LayerView
from rtscope.model.state import Layer, State, Verdict


class Kind(StrEnum):
    """What keeps a container: an engine, together with what it sits on."""

    DOCKER = "docker"
    CRI = "cri on containerd"
    CRI_DOCKER = "cri on docker"
    CRIO = "cri-o"
    CONTAINERD = "containerd"
    PODMAN = "podman"
    OCI = "oci"
    UNKNOWN = "unknown"
    REMOTE = "remote"


@fact
class Expectation:
    """Layers that should, and layers that may, know a container."""

    always: frozenset[Layer] = frozenset()
    may: frozenset[Layer] = frozenset()


_RUNS = frozenset({State.RUNNING, State.PAUSED})
_ENGINE, _CONTAINER, _SANDBOX, _OCI = Layer.ENGINE, Layer.CONTAINER, Layer.SANDBOX, Layer.OCI
_PROCESS, _CGROUP, _SHIM, _TASK = Layer.PROCESS, Layer.CGROUP, Layer.SHIM, Layer.TASK
_BELOW_CONTAINERD = frozenset({_TASK, _SHIM, _OCI, _PROCESS, _CGROUP})
_BELOW_MONITOR = frozenset({_SHIM, _OCI, _PROCESS, _CGROUP})
_ANYTHING = frozenset(Layer)


def _under_containerd(*upper: Layer) -> Expectation:
    return Expectation(always=_BELOW_CONTAINERD | frozenset({_CONTAINER, *upper}))


def _under_monitor(*upper: Layer) -> Expectation:
    return Expectation(always=_BELOW_MONITOR | frozenset(upper))


_LIVE: Mapping[Kind, Expectation] = {
    Kind.DOCKER: _under_containerd(_ENGINE),
    Kind.CRI: _under_containerd(_ENGINE, _SANDBOX),
    Kind.CRI_DOCKER: _under_containerd(_ENGINE, _SANDBOX),
    Kind.CRIO: _under_monitor(_ENGINE, _SANDBOX),
    Kind.CONTAINERD: _under_containerd(),
    Kind.PODMAN: _under_monitor(_ENGINE),
    Kind.OCI: Expectation(
        always=frozenset({_OCI, _PROCESS, _CGROUP}), may=frozenset({_SHIM, _TASK})
    ),
    Kind.UNKNOWN: Expectation(
        always=frozenset({_PROCESS}), may=_BELOW_CONTAINERD | {_ENGINE, _CONTAINER}
    ),
    Kind.REMOTE: Expectation(may=_ANYTHING),
}
"""Running, paused, and created with an init that waits."""

_OVER: Mapping[Kind, Expectation] = {
    Kind.DOCKER: Expectation(always=frozenset({_ENGINE})),
    Kind.CRI: Expectation(
        always=frozenset({_ENGINE, _CONTAINER, _SANDBOX}), may=frozenset({_TASK})
    ),
    Kind.CRI_DOCKER: Expectation(always=frozenset({_ENGINE, _SANDBOX})),
    Kind.CRIO: Expectation(always=frozenset({_ENGINE, _SANDBOX}), may=frozenset({_OCI})),
    # A task that ended keeps its shim until somebody deletes it: `ctr run -d` leaves it so.
    Kind.CONTAINERD: Expectation(
        always=frozenset({_CONTAINER}), may=frozenset({_TASK, _SHIM, _OCI})
    ),
    Kind.PODMAN: Expectation(always=frozenset({_ENGINE}), may=frozenset({_OCI})),
    Kind.OCI: Expectation(always=frozenset({_OCI})),
    Kind.UNKNOWN: Expectation(may=_BELOW_CONTAINERD | {_ENGINE, _CONTAINER}),
    Kind.REMOTE: Expectation(may=_ANYTHING),
}
"""Stopped, and created without a process."""


def expected(
    kind: Kind, state: State, *, has_init: bool, is_sandboxed: bool = False
) -> Expectation:
    """The row of the table for one container.

    Args:
        kind: What keeps it.
        state: The row's.
        has_init: Whether an init lives, be it that of a container that waits for its start.
        is_sandboxed: Its processes are a sandbox's (runsc, kata), whose cgroup is another.
    """
    if has_init or state in _RUNS:
        found = _LIVE[kind]
        if is_sandboxed:
            return Expectation(always=found.always - {_CGROUP}, may=found.may | {_CGROUP})
        return found
    if state is State.UNKNOWN:
        found = _LIVE[kind]
        return Expectation(may=found.always | found.may)
    return _OVER[kind]


_COMPATIBLE = frozenset({State.RUNNING, State.CREATED})
"""Words that differ for a moment while a container starts: sources are read at different times."""


def conflict(claims: Sequence[Claim], state: State, pid: int | None) -> str | None:
    """What a layer says that cannot be true of this container; None if it agrees."""
    for claim in claims:
        if claim.pid is not None and pid is not None and claim.pid != pid:
            return f"says pid {claim.pid}, the live init is {pid}"
        if claim.state in (None, State.UNKNOWN, state) or state is State.UNKNOWN:
            continue
        if claim.state not in _COMPATIBLE or state not in _COMPATIBLE:
            return f"says {claim.state_raw or claim.state}, it is {state}"
    return None


_NOUNS: Mapping[Layer, str] = {
    _ENGINE: "the engine",
    _SANDBOX: "its pod's sandbox",
    _CONTAINER: "containerd",
    _TASK: "the task",
    _SHIM: "the shim",
    _OCI: "the OCI state",
    _PROCESS: "the process",
    _CGROUP: "the cgroup",
    Layer.KUBELET: "the kubelet",
}
_MISSING: Mapping[Layer, str] = {
    _ENGINE: "its engine does not know it",
    _SANDBOX: "its pod has no sandbox",
    _CONTAINER: "containerd does not know it",
    _TASK: "its shim has no task of it",
    _SHIM: "no shim or monitor watches it",
    _OCI: "its OCI runtime has no state of it",
    _PROCESS: "no process of it runs",
    _CGROUP: "it has no cgroup",
    Layer.KUBELET: "the kubelet does not know it",
}


def view_of(
    layer: Layer,
    claims: tuple[Claim, ...],
    expectation: Expectation,
    unknown: Mapping[Layer, str],
    clash: str | None,
) -> LayerView:
    """The verdict on one layer.

    Args:
        layer: The layer.
        claims: What its sources say.
        expectation: The row of the table.
        unknown: Layer -> why it could not be asked.
        clash: What `conflict` found.
    """
    if not claims:
        if layer not in expectation.always:
            return LayerView(verdict=Verdict.NOT_EXPECTED)
        if layer in unknown:
            return LayerView(verdict=Verdict.UNKNOWN, why=unknown[layer])
        return LayerView(verdict=Verdict.MISSING, why=_MISSING[layer])
    if clash is not None:
        return LayerView(verdict=Verdict.DIFFERS, claims=claims, why=f"{_NOUNS[layer]} {clash}")
    if layer not in expectation.always and layer not in expectation.may:
        pid = next((claim.pid for claim in claims if claim.pid is not None), None)
        who = _NOUNS[layer] if pid is None else f"{_NOUNS[layer]} (pid {pid})"
        return LayerView(verdict=Verdict.DIFFERS, claims=claims, why=f"{who} is still there")
    if layer in unknown:
        return LayerView(verdict=Verdict.UNKNOWN, claims=claims, why=unknown[layer])
    return LayerView(verdict=Verdict.OK, claims=claims)


_WORST = (Verdict.DIFFERS, Verdict.MISSING, Verdict.UNKNOWN)


def worst(views: Iterable[LayerView]) -> tuple[Verdict, str | None]:
    """The verdict of the row, with the reason of its worst layer."""
    views = tuple(views)
    for verdict in _WORST:
        for view in views:
            if view.verdict is verdict:
                return verdict, view.why
    return Verdict.OK, None
