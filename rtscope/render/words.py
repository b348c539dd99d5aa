"""The words and signs for a container's state and its layers, shared by tables, trees and views."""

from collections.abc import Iterable, Mapping

from rtscope.model.inventory import Container
from rtscope.model.state import EndpointState, Layer, State, Verdict
from rtscope.render.style import Style

LETTER: Mapping[Layer, str] = {
    Layer.KUBELET: "K",
    Layer.SANDBOX: "S",
    Layer.ENGINE: "E",
    Layer.CONTAINER: "C",
    Layer.TASK: "T",
    Layer.SHIM: "H",
    Layer.OCI: "O",
    Layer.PROCESS: "P",
    Layer.CGROUP: "G",
}

LEGEND = """\
LAYERS has one place for each layer that may know a container, from top to bottom:

  K kubelet   S sandbox (pod)   E engine (docker, podman, CRI)   C container (containerd)
  T task   H shim or conmon   O OCI runtime (runc, crun, ...)   P process   G cgroup

  a letter  this layer knows the container, and what it says fits
  -         it need not know it
  !         it should know it and does not (missing), or says something else (differs)
  ?         it could not be asked

and then names the layers with ! or ?:  --EC?HOPG task unknown"""

_SIGN = {
    Verdict.MISSING: "!",
    Verdict.DIFFERS: "!",
    Verdict.UNKNOWN: "?",
    Verdict.NOT_EXPECTED: "-",
}

_RANK = {Verdict.DIFFERS: 0, Verdict.MISSING: 1, Verdict.UNKNOWN: 2}

_RAW_STATES: Mapping[State, frozenset[str]] = {
    State.CREATED: frozenset({"created", "configured", "initialized", "starting"}),
    State.RUNNING: frozenset({"running", "up", "stopping", "removing"}),
    State.PAUSED: frozenset({"paused", "pausing"}),
    State.STOPPED: frozenset({"stopped", "exited", "dead", "restarting", "removing", "stopping"}),
}
"""Which words of the engines fit which state; a word that does not fit is not shown as the state.
Source: docker, api/swagger.yaml, ContainerState; podman, libpod/define/containerstate.go;
CRI, api.proto, ContainerState; containerd, api/types/task/task.proto, Status."""

_DULL_REASONS = frozenset({"completed", "error", "exited", ""})


def plain_word(state_raw: str) -> str:
    """A source's word in lower case, without the prefixes that protobuf enumerations carry."""
    word = state_raw.lower()
    for prefix in ("container_", "sandbox_"):
        word = word.removeprefix(prefix)
    return word


def state_word(container: Container) -> str:
    """The source's own word where it fits the state, else the state."""
    raw = plain_word(container.state_raw) if container.state_raw else ""
    if raw and raw in _RAW_STATES.get(container.state, ()):
        return raw
    if container.state is State.STOPPED and raw in ("running", "up", "paused"):
        return State.STOPPED.value
    if container.state is State.UNKNOWN and raw:
        return f"unknown ({raw})"
    return container.state.value


def state_text(container: Container) -> str:
    """The state with its reason: `exited 137 OOM`, `running unhealthy`, `restarting 1`."""
    parts = [state_word(container)]
    if container.state is State.STOPPED:
        if container.exit_code is not None:
            parts.append(str(container.exit_code))
        reason = container.exit_reason or ""
        if container.oom_killed or reason.lower() == "oomkilled":
            parts.append("OOM")
        elif reason.lower() not in _DULL_REASONS:
            parts.append(reason)
    elif container.health in ("unhealthy", "starting"):
        parts.append(container.health)
    return " ".join(parts)


def state_style(container: Container) -> Style:
    """How the state reads: a healthy one is green, an end with an error is not."""
    if container.state is State.UNKNOWN:
        return Style.WARN
    if container.oom_killed or container.health == "unhealthy":
        return Style.PROBLEM
    if state_word(container) in ("restarting", "dead", "removing"):
        return Style.WARN
    if container.state is State.STOPPED:
        return Style.WARN if container.exit_code else Style.DIM
    return Style.OK if container.state is State.RUNNING else Style.WARN


def layer_signs(container: Container) -> str:
    """Nine signs, one a layer, as the legend explains."""
    return "".join(layer_sign(layer, _verdict(container, layer)) for layer in Layer)


def layer_sign(layer: Layer, verdict: Verdict) -> str:
    """The letter of a layer that fits, or the sign of its verdict."""
    return _SIGN.get(verdict, LETTER[layer])


def layers_text(container: Container) -> str:
    """The signs, and in words what is wrong: `--E!THOPG container differs`."""
    signs = layer_signs(container)
    words = layer_words(container)
    return f"{signs} {words}" if words else signs


def layer_words(container: Container) -> str:
    """`shim, oci missing; task unknown`: the layers with a verdict that asks for attention."""
    groups: dict[Verdict, list[str]] = {}
    for layer in Layer:
        verdict = _verdict(container, layer)
        if verdict in _RANK:
            groups.setdefault(verdict, []).append(layer.value)
    ordered = sorted(groups, key=lambda verdict: _RANK[verdict])
    return "; ".join(f"{', '.join(groups[verdict])} {verdict.value}" for verdict in ordered)


def _verdict(container: Container, layer: Layer) -> Verdict:
    view = container.layers.get(layer)
    return Verdict.NOT_EXPECTED if view is None else view.verdict


def verdict_style(verdict: Verdict | None) -> Style:
    """The colour of a verdict."""
    if verdict in (Verdict.DIFFERS, Verdict.MISSING):
        return Style.PROBLEM
    if verdict is Verdict.UNKNOWN:
        return Style.WARN
    return Style.OK if verdict is Verdict.OK else Style.DIM


def verdict_rank(verdict: Verdict) -> int:
    """0 for the worst; what is in order comes last."""
    return _RANK.get(verdict, 3)


def endpoint_style(state: EndpointState) -> Style:
    """The colour of a source's state."""
    match state:
        case EndpointState.OK:
            return Style.OK
        case EndpointState.ABSENT | EndpointState.INACTIVE | EndpointState.UNKNOWN:
            return Style.DIM
        case EndpointState.SLOW | EndpointState.DENIED:
            return Style.WARN
        case _:
            return Style.PROBLEM


def listed(words: Iterable[str], limit: int = 3) -> str:
    """`a, b, c and 17 more`."""
    all_words = list(words)
    if len(all_words) <= limit + 1:
        return ", ".join(all_words)
    return f"{', '.join(all_words[:limit])} and {len(all_words) - limit} more"
