"""Who could not be asked about a container, and why: what makes a layer `unknown`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from rtscope.correlate.expect import Kind
from rtscope.correlate.groups import Addresses, Group
from rtscope.model.observation import Endpoint, Gap, Observation
from rtscope.model.records import Shim
from rtscope.model.state import ANSWERED, EndpointState, Layer

_QUIET = ANSWERED | {EndpointState.ABSENT}
_SOURCE_OF = {
    Kind.DOCKER: "docker",
    Kind.PODMAN: "podman",
    Kind.CRI: "cri",
    Kind.CRIO: "cri",
    Kind.CRI_DOCKER: "cri",
}
_ON_CONTAINERD = frozenset({Kind.DOCKER, Kind.CRI, Kind.CRI_DOCKER, Kind.CONTAINERD})
_WITH_SANDBOX = frozenset({Kind.CRI, Kind.CRIO, Kind.CRI_DOCKER})
_OCI_SUBJECTS = ("oci_state", "state")


def sentence(endpoint: Endpoint) -> str:
    """`docker (pid 712, /run/docker.sock) is stopped`: who, where and how it stands."""
    who = f"pid {endpoint.daemon.pid}, " if endpoint.daemon is not None else ""
    return f"{endpoint.kind} ({who}{endpoint.address}) is {endpoint.state}"


def _is_up(endpoint: Endpoint) -> bool:
    return endpoint.state not in (
        EndpointState.ABSENT,
        EndpointState.DEAD,
        EndpointState.INACTIVE,
    )


class Answers:
    """How every source of the node answered, indexed for the join."""

    def __init__(self, observations: Sequence[Observation], why_unread: str | None) -> None:
        self._endpoints: dict[str, list[Endpoint]] = defaultdict(list)
        self._inside: dict[tuple[int, str], list[Endpoint]] = defaultdict(list)
        self._gaps: dict[str, list[Gap]] = defaultdict(list)
        self._addresses = Addresses(observations)
        self._why_unread = why_unread
        self._known: dict[tuple[str, frozenset[str], int | None], str | None] = {}
        for observation in observations:
            endpoint = observation.endpoint
            if endpoint.nested_in is not None:
                self._inside[endpoint.nested_in, observation.kind].append(endpoint)
            elif not endpoint.is_remote:
                self._endpoints[observation.kind].append(endpoint)
            for gap in observation.gaps:
                if gap.subject != "daemon":
                    self._gaps[gap.subject].append(gap)

    def _silent(self, kind: str, origins: frozenset[str], owner: int | None = None) -> str | None:
        """Why nobody of this kind could say; None if the right one did."""
        key = (kind, origins, owner)
        if key not in self._known:
            self._known[key] = self._why_silent(kind, origins, owner)
        return self._known[key]

    def _why_silent(self, kind: str, origins: frozenset[str], owner: int | None) -> str | None:
        endpoints = self._of_owner(kind, owner)
        matching = [endpoint for endpoint in endpoints if self._is_of(endpoint, origins)]
        if kind == "podman" and not any(_is_up(endpoint) for endpoint in matching):
            # podman has no daemon: without a service, or asleep, its storage is the engine.
            endpoints = self._of_owner("podmanfs", owner)
            matching = [e for e in endpoints if self._is_of(e, origins)]
        chosen = matching or [e for e in endpoints if not origins or not self._is_placed(e)]
        if not chosen:
            where = f" of {min(origins)}" if origins and endpoints else ""
            return f"no {kind} endpoint{where} was found"
        if any(endpoint.state in ANSWERED for endpoint in chosen):
            return None
        if all(endpoint.state in _QUIET for endpoint in chosen):
            return f"no {kind} endpoint answers here"
        return sentence(next(e for e in chosen if e.state not in _QUIET))

    def _of_owner(self, kind: str, owner: int | None) -> list[Endpoint]:
        """A user's engine knows nothing of root's containers, and root's nothing of a user's."""
        return [e for e in self._endpoints.get(kind, []) if (e.owner_uid or None) == owner]

    def _is_of(self, endpoint: Endpoint, origins: frozenset[str]) -> bool:
        """Whether it is the one that should know: by its store, or by the containerd below it."""
        if endpoint.origin in origins or endpoint.address in origins:
            return True
        states = {self._addresses.state_of(a) for a in (endpoint.below, endpoint.address)}
        return not origins.isdisjoint(states)

    def _is_placed(self, endpoint: Endpoint) -> bool:
        """Whether it is known what it keeps: then what it does not keep, it need not know."""
        if endpoint.kind in ("docker", "dockerfs"):
            return self._addresses.state_of(endpoint.below) is not None
        return endpoint.origin is not None

    def _gaps_of(self, group: Group, missing: Iterable[str]) -> Iterable[Gap]:
        """What sources could not say of this container."""
        subjects = set(group.ids) | {bundle.path for _, bundle in group.bundles}
        for item in group.items:
            if not isinstance(item.record, Shim):
                subjects.add(f"{item.record.ref.namespace}/{item.record.ref.id}")
        for subject in sorted(subjects & self._gaps.keys()):
            for gap in self._gaps[subject]:
                if gap.missing in missing and _is_about(gap, group):
                    yield gap

    def unknown_layers(
        self, group: Group, kind: Kind, shim: Shim | None, states: Iterable[str]
    ) -> dict[Layer, str]:
        """Layer -> why it could not be asked."""
        if group.is_remote:
            return {}
        if group.nested_in is not None:
            return self._unknown_inside(group.nested_in, kind)
        stores = frozenset(states)
        unknown: dict[Layer, str | None] = {}
        source = _SOURCE_OF.get(kind)
        if source is not None:
            origins = frozenset(r.ref.origin for _, r in group.containers if r.layer == "engine")
            origins |= {shim.graph_root for _, shim in group.shims if shim.graph_root}
            unknown[Layer.ENGINE] = self._silent(source, origins or stores, group.owner)
        if kind in _WITH_SANDBOX:
            unknown[Layer.SANDBOX] = unknown[Layer.ENGINE]
        if kind in _ON_CONTAINERD:
            unknown[Layer.CONTAINER] = self._silent("containerd", stores, group.owner)
            unknown[Layer.TASK] = self._why_no_task(group)
        if shim is not None and shim.process_state in ("T", "t", "D"):
            word = "blocked" if shim.process_state == "D" else "stopped"
            unknown[Layer.SHIM] = f"shim {shim.key.pid} is {word} (state {shim.process_state})"
        unknown[Layer.OCI] = self._why_no_oci(group)
        if self._why_unread is not None:
            for layer in (Layer.PROCESS, Layer.CGROUP, Layer.SHIM):
                unknown.setdefault(layer, self._why_unread)
        return {layer: why for layer, why in unknown.items() if why is not None}

    def _unknown_inside(self, pid: int, kind: Kind) -> dict[Layer, str]:
        """Of an engine in a container: it is asked by `--nested` only, and its shims never are."""
        why = f"the engine in the container of pid {pid} was not asked: --nested asks it"
        unknown = {Layer.TASK: "shims of an engine in a container are not asked"}
        source = _SOURCE_OF.get(kind, "containerd")
        if not self._has_answered(pid, source):
            unknown |= dict.fromkeys((Layer.ENGINE, Layer.SANDBOX), why)
        if not self._has_answered(pid, "containerd"):
            unknown[Layer.CONTAINER] = why
        if not self._has_answered(pid, "oci"):
            unknown[Layer.OCI] = f"no OCI root in the container of pid {pid} was read"
        return unknown

    def _has_answered(self, pid: int, kind: str) -> bool:
        return any(endpoint.state in ANSWERED for endpoint in self._inside.get((pid, kind), ()))

    def _why_no_oci(self, group: Group) -> str | None:
        if group.oci:
            return None
        roots = {bundle.oci_root for _, bundle in group.bundles if bundle.oci_root}
        roots |= {shim.oci_root for _, shim in group.shims if shim.oci_root}
        for gap in self._gaps_of(group, _OCI_SUBJECTS):
            if not roots or any(gap.source.endswith(root) for root in roots):
                return gap.detail or f"the OCI state is {gap.reason}"
        known = [e for e in self._of_owner("oci", group.owner) if not roots or e.address in roots]
        if not known:
            return "no OCI root of it was read"
        closed = [e for e in known if e.state not in _QUIET]
        return sentence(closed[0]) if closed else None

    def _why_no_task(self, group: Group) -> str | None:
        for gap in self._gaps_of(group, ("task",)):
            return gap.detail or f"the shim is {gap.reason}"
        shims = self._endpoints.get("shim", [])
        if not shims:
            return "no shim was asked"
        if any(endpoint.state not in ANSWERED for endpoint in shims):
            return "the shims could not be asked"
        return None


def _is_about(gap: Gap, group: Group) -> bool:
    """Ids repeat between namespaces: a gap that names a shim is about that shim's container."""
    pids = {str(shim.key.pid) for _, shim in group.shims}
    words = gap.detail.replace(":", " ").split()
    if len(words) > 1 and words[0] == "shim" and words[1].isdigit() and pids:
        return words[1] in pids
    return True
