"""Who owns a group of records: from the records themselves, else from the traces of an engine."""

from collections.abc import Mapping, Sequence

from rtscope.correlate.expect import Kind
from rtscope.correlate.groups import MONITORS, Group, state_dir_of
from rtscope.model.records import ContainerRecord
from rtscope.model.state import Engine, Layer

CRI_ANNOTATION = "annotation.io.kubernetes.cri."
_POD_LABEL = "io.kubernetes.pod.name"
_CRI_LABEL = "io.cri-containerd.kind"
_CRIO_ANNOTATION = "io.kubernetes.cri-o."
_BUNDLES = "/overlay-containers/"
"""In the path of every bundle of podman and CRI-O. Source: containers/storage."""

_RANKS = {"cri": 0, "docker": 1, "podman": 1, "dockerfs": 2, "podmanfs": 2}
_ENGINE_OF_KIND = {
    "docker": Engine.DOCKER,
    "dockerfs": Engine.DOCKER,
    "podman": Engine.PODMAN,
    "podmanfs": Engine.PODMAN,
}
_ENGINE_OF_OWNER = {
    "docker": Engine.DOCKER,
    "podman": Engine.PODMAN,
    "cri": Engine.CRI,
    "crio": Engine.CRI,
    "kubelet": Engine.CRI,
    "containerd": Engine.CONTAINERD,
    "nerdctl": Engine.CONTAINERD,
}
_DEFAULT_RUNTIME = {
    "io.containerd.runc.v1": "runc",
    "io.containerd.runc.v2": "runc",
    "io.containerd.runtime.v1.linux": "runc",
    "io.containerd.runsc.v1": "runsc",
}
"""What a shim runs unless it is told otherwise. Source: containerd, runtime/v2/runc/options."""

_KIND_OF_ENGINE = {
    Engine.DOCKER: Kind.DOCKER,
    Engine.PODMAN: Kind.PODMAN,
    Engine.CONTAINERD: Kind.CONTAINERD,
    Engine.OCI: Kind.OCI,
    Engine.UNKNOWN: Kind.UNKNOWN,
}


def ranked(group: Group) -> list[ContainerRecord]:
    """Records from the highest layer down; an engine's own answer before its state directory."""
    pairs = sorted(
        group.containers,
        key=lambda pair: (
            pair[1].layer != Layer.ENGINE,
            _RANKS.get(pair[0].endpoint.kind, 3),
            not pair[1].is_complete,
        ),
    )
    return [record for _, record in pairs]


def engine_of(
    group: Group, records: Sequence[ContainerRecord], spec: Mapping[str, str], owner: str | None
) -> Engine:
    """The engine; of a silent one by bundle, namespace, labels, monitor and cgroup.

    Args:
        group: The records of one container.
        records: Its container records, the highest first.
        spec: What its bundle says.
        owner: Whose cgroup its init is in.
    """
    kinds = {item.endpoint.kind for item, _ in group.containers}
    is_kubernetes = any(_POD_LABEL in r.labels for r in records if r.layer is Layer.ENGINE)
    if "cri" in kinds or group.sandboxes:
        return Engine.CRI
    if "podmanfs" in kinds and is_kubernetes and "podman" not in kinds:
        # CRI-O keeps its containers in the same kind of store.
        return Engine.CRI
    for kind, engine in _ENGINE_OF_KIND.items():
        if kind in kinds:
            return engine
    for _, shim in group.shims:
        if shim.kind in MONITORS:
            return Engine.CRI if (shim.name or "").startswith("k8s_") else Engine.PODMAN
    return _inferred(group, records, spec, owner)


def _inferred(
    group: Group, records: Sequence[ContainerRecord], spec: Mapping[str, str], owner: str | None
) -> Engine:
    namespaces = {bundle.ref.namespace for _, bundle in group.bundles}
    namespaces |= {shim.namespace for _, shim in group.shims if shim.namespace}
    namespaces |= {r.ref.namespace for r in records if r.layer is Layer.CONTAINER}
    namespaces |= {state.ref.namespace for _, state in group.oci if state.ref.namespace}
    if "moby" in namespaces:
        return Engine.DOCKER
    if any(_CRI_LABEL in record.labels for record in records):
        return Engine.CRI
    if any(key.startswith(CRI_ANNOTATION) for key in spec):
        return Engine.CRI
    if namespaces or group.tasks:
        return Engine.CONTAINERD
    for _, state in group.oci:
        if any(key.startswith(_CRIO_ANNOTATION) for key in state.annotations):
            return Engine.CRI
        if _BUNDLES in (state.bundle_dir or ""):
            return Engine.PODMAN
    if group.oci:
        return Engine.OCI
    return _ENGINE_OF_OWNER.get(owner or "", Engine.UNKNOWN)


def kind_of(group: Group, engine: Engine, owner: str | None) -> Kind:
    """The engine with what it sits on: a CRI may be containerd's, CRI-O's or docker's."""
    if group.is_remote:
        return Kind.REMOTE
    if engine is not Engine.CRI:
        return _KIND_OF_ENGINE[engine]
    kinds = {item.endpoint.kind for item, _ in group.containers}
    if kinds & {"docker", "dockerfs"}:
        return Kind.CRI_DOCKER
    is_monitored = any(shim.kind in MONITORS for _, shim in group.shims)
    is_crio = any(
        key.startswith(_CRIO_ANNOTATION) for _, state in group.oci for key in state.annotations
    )
    if is_crio or is_monitored or kinds & {"podman", "podmanfs"} or owner == "crio":
        return Kind.CRIO
    on_containerd = group.bundles or group.tasks or "containerd" in kinds
    namespaces = {sandbox.ref.namespace for _, sandbox in group.sandboxes}
    namespaces |= {record.ref.namespace for _, record in group.containers}
    if not on_containerd and namespaces == {""}:
        return Kind.CRIO
    return Kind.CRI


def oci_runtime_of(group: Group, records: Sequence[ContainerRecord]) -> str | None:
    """The runtime whose files it is in, else the one that somebody was told to run."""
    for _, state in group.oci:
        return state.oci_runtime
    named = [record.oci_runtime for record in records]
    named += [bundle.oci_runtime for _, bundle in group.bundles]
    named += [shim.oci_runtime for _, shim in group.shims]
    found = next((name for name in named if name), None)
    if found is not None:
        return found.rsplit("/", 1)[-1]
    types = [record.runtime_type for record in records]
    types += [bundle.runtime_type for _, bundle in group.bundles]
    return next((_DEFAULT_RUNTIME[t] for t in types if t in _DEFAULT_RUNTIME), None)


def store_of(bundle_dir: str | None) -> str | None:
    """The state directory of containerd, or the graph root of podman, that a bundle lies in."""
    place = state_dir_of(bundle_dir)
    if place is not None:
        return place[0]
    root, found, _ = (bundle_dir or "").partition(_BUNDLES)
    return root if found else None
