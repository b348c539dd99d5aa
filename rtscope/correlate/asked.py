"""Who could not be asked about a container, and why: what makes a layer `unknown`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from rtscope.correlate.groups import Group
from rtscope.model.observation import Endpoint, Gap, Observation
from rtscope.model.records import Shim
from rtscope.model.state import ANSWERED, EndpointState, Engine, Layer

_QUIET = ANSWERED | {EndpointState.ABSENT}
_KIND_OF = {
    Engine.DOCKER: "docker",
    Engine.PODMAN: "podman",
    Engine.CRI: "cri",
    Engine.CONTAINERD: "containerd",
}
_STANDS_STILL = frozenset("TtD")


def sentence(endpoint: Endpoint) -> str:
    """`dockerd at /run/docker.sock is stopped`: who, where and how it stands."""
    who = f"pid {endpoint.daemon.pid}, " if endpoint.daemon is not None else ""
    return f"{endpoint.kind} ({who}{endpoint.address}) is {endpoint.state}"


class Answers:
    """How every source of the node answered, indexed for the join."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self._endpoints: dict[str, list[Endpoint]] = defaultdict(list)
        self._gaps: dict[str, list[Gap]] = defaultdict(list)
        self.kernel_is_read = False
        for observation in observations:
            endpoint = observation.endpoint
            if not endpoint.is_remote and endpoint.nested_in is None:
                self._endpoints[observation.kind].append(endpoint)
            self.kernel_is_read |= observation.kind == "procfs"
            for gap in observation.gaps:
                if gap.subject != "daemon":
                    self._gaps[gap.subject].append(gap)

    def _silent(self, kind: str, origins: Iterable[str | None]) -> str | None:
        """Why nobody of this kind could say; None if the right one did, or none is needed."""
        endpoints = self._endpoints.get(kind, [])
        wanted = {origin for origin in origins if origin}
        matching = [e for e in endpoints if e.origin in wanted or e.address in wanted]
        chosen = matching or endpoints
        if not chosen:
            return f"no {kind} endpoint was found"
        if any(e.state in ANSWERED for e in chosen):
            return None
        if all(e.state in _QUIET for e in chosen):
            return f"no {kind} endpoint answers here"
        return sentence(next(e for e in chosen if e.state not in _QUIET))

    def gap_of(self, group: Group, missing: str) -> Gap | None:
        """What a source could not say of this container."""
        subjects = set()
        for item in group.items:
            record = item.record
            if isinstance(record, Shim):
                continue
            subjects |= {record.ref.id, f"{record.ref.namespace}/{record.ref.id}"}
        subjects |= {bundle.path for _, bundle in group.bundles}
        for subject in subjects:
            for gap in self._gaps.get(subject, ()):
                if gap.missing == missing and self._is_about(gap, group):
                    return gap
        return None

    def _is_about(self, gap: Gap, group: Group) -> bool:
        """Ids repeat between namespaces: a gap that names a shim is about that shim's container."""
        pids = {str(shim.key.pid) for _, shim in group.shims}
        words = gap.detail.replace(":", " ").split()
        if "shim" in words[:1] and len(words) > 1 and words[1].isdigit() and pids:
            return words[1] in pids
        return True

    def unknown_layers(
        self, group: Group, engine: Engine, shim: Shim | None, states: Iterable[str]
    ) -> dict[Layer, str]:
        """Layer -> why it could not be asked."""
        states = list(states)
        unknown: dict[Layer, str | None] = {}
        origins = [record.ref.origin for _, record in group.containers if record.layer == "engine"]
        if engine in (Engine.DOCKER, Engine.PODMAN, Engine.CRI):
            unknown[Layer.ENGINE] = self._silent(_KIND_OF[engine], origins or states)
        if engine is Engine.CRI:
            unknown[Layer.SANDBOX] = unknown[Layer.ENGINE]
        if engine in (Engine.DOCKER, Engine.CRI, Engine.CONTAINERD):
            unknown[Layer.CONTAINER] = self._silent("containerd", states)
            unknown[Layer.TASK] = self._why_no_task(group, shim)
        if shim is not None and shim.process_state in _STANDS_STILL:
            word = "stopped" if shim.process_state in "Tt" else "blocked"
            unknown[Layer.SHIM] = f"shim {shim.key.pid} is {word} (state {shim.process_state})"
        unknown[Layer.OCI] = self._why_no_oci(group)
        if not self.kernel_is_read:
            for layer in (Layer.PROCESS, Layer.CGROUP, Layer.SHIM):
                unknown[layer] = "/proc was not read"
        return {layer: why for layer, why in unknown.items() if why is not None}

    def _why_no_oci(self, group: Group) -> str | None:
        for missing in ("oci_state", "state", "container"):
            gap = self.gap_of(group, missing)
            if gap is not None:
                return gap.detail or f"the OCI state is {gap.reason}"
        if group.oci:
            return None
        roots = {bundle.oci_root for _, bundle in group.bundles if bundle.oci_root}
        known = [e for e in self._endpoints.get("oci", []) if not roots or e.address in roots]
        closed = [e for e in known if e.state not in _QUIET]
        return sentence(closed[0]) if closed else None

    def _why_no_task(self, group: Group, shim: Shim | None) -> str | None:
        gap = self.gap_of(group, "task")
        if gap is not None:
            return gap.detail or f"the shim is {gap.reason}"
        if not self._endpoints.get("shim"):
            return "no shim was asked"
        if any(e.state not in ANSWERED for e in self._endpoints["shim"]):
            return "the shims could not be asked"
        return None
