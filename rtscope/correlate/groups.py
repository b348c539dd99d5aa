"""Which records are one container: identity by the strongest link that holds.

Never by the id alone. Records merge where they share a key, and a key is made only of what was
observed: a record's own name in its store, the bundle directory, the live init with its start time,
an engine's link to its containerd, a monitor's arguments. Everything of another node, of a nested
engine or of a store that root does not own lives in a key space of its own.
"""

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import (
    Bundle,
    ContainerRecord,
    OciState,
    Process,
    Sandbox,
    Shim,
    Task,
)
from rtscope.model.refs import Ref

MONITORS = frozenset({"conmon", "conmonrs"})
SANDBOXED = frozenset({"runsc", "kata"})
HEX_ID = 64

Member = ContainerRecord | Sandbox | Task | Bundle | OciState | Shim


class Item:
    """One record with where it came from."""

    __slots__ = ("endpoint", "record", "source", "space")

    def __init__(
        self, record: Member, source: str, endpoint: Endpoint, space: tuple[object, ...]
    ) -> None:
        self.record = record
        self.source = source
        self.endpoint = endpoint
        self.space = space


class Group:
    """The records of one container, by kind."""

    __slots__ = ("bundles", "containers", "items", "oci", "sandboxes", "shims", "tasks")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = tuple(items)
        self.containers: list[tuple[Item, ContainerRecord]] = []
        self.sandboxes: list[tuple[Item, Sandbox]] = []
        self.tasks: list[tuple[Item, Task]] = []
        self.bundles: list[tuple[Item, Bundle]] = []
        self.oci: list[tuple[Item, OciState]] = []
        self.shims: list[tuple[Item, Shim]] = []
        for item in items:
            record = item.record
            if isinstance(record, ContainerRecord):
                self.containers.append((item, record))
            elif isinstance(record, Sandbox):
                self.sandboxes.append((item, record))
            elif isinstance(record, Task):
                self.tasks.append((item, record))
            elif isinstance(record, Bundle):
                self.bundles.append((item, record))
            elif isinstance(record, OciState):
                self.oci.append((item, record))
            else:
                self.shims.append((item, record))

    @property
    def has_lower_layer(self) -> bool:
        """Whether anything below the engine's own record is known."""
        return bool(self.tasks or self.bundles or self.oci or self.shims)


class Addresses:
    """Which state directory belongs to a containerd's address."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self._state_of: dict[str, str] = {}
        for observation in observations:
            endpoint = observation.endpoint
            if endpoint.kind == "containerd" and endpoint.origin and not endpoint.is_remote:
                self._state_of.setdefault(endpoint.address, endpoint.origin)
            for shim in observation.shims:
                state = state_dir_of(shim.bundle_dir)
                if shim.containerd_address and state and shim.nested_in is None:
                    self._state_of.setdefault(shim.containerd_address, state[0])

    def state_of(self, address: str | None) -> str | None:
        """The state directory, or None where nobody observed it."""
        if address is None:
            return None
        return self._state_of.get(address.removeprefix("unix://"))


def state_dir_of(bundle_dir: str | None) -> tuple[str, str, str] | None:
    """(state directory, namespace, id) of a containerd bundle's path; None for other bundles.

    Source: containerd, core/runtime/v2/bundle.go: STATE/io.containerd.runtime.v2.task/NS/ID.
    """
    if bundle_dir is None or "/io.containerd.runtime." not in bundle_dir:
        return None
    parts = bundle_dir.rstrip("/").rsplit("/", 3)
    if len(parts) != 4 or not parts[1].startswith("io.containerd.runtime."):
        return None
    return parts[0], parts[2], parts[3]


def group(observations: Sequence[Observation], processes: Mapping[int, Process]) -> list[Group]:
    """Every container of the node as a group of records, in a stable order."""
    items = list(_items(observations))
    addresses = Addresses(observations)
    union = _Union(len(items))
    first_with: dict[Hashable, int] = {}
    for index, item in enumerate(items):
        for key in _keys(item, addresses, processes):
            union.join(index, first_with.setdefault(key, index))
    groups = [Group([items[i] for i in members]) for members in union.sets()]
    return _by_cgroup_leaf(groups, processes)


class _Union:
    """Disjoint sets of the numbers below a limit."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def join(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self._parent[max(one, other)] = min(one, other)

    def sets(self) -> list[list[int]]:
        members: dict[int, list[int]] = defaultdict(list)
        for index in range(len(self._parent)):
            members[self._root(index)].append(index)
        return list(members.values())


def _items(observations: Sequence[Observation]) -> Iterator[Item]:
    for observation in observations:
        endpoint = observation.endpoint
        # A podman pod is no container: its infra container is, and has a record of its own.
        is_podman = endpoint.kind in ("podman", "podmanfs")
        for records in (
            observation.containers,
            () if is_podman else observation.sandboxes,
            observation.tasks,
            observation.bundles,
            observation.oci_states,
        ):
            for record in records:
                yield Item(record, observation.source, endpoint, _space(endpoint, record))
        for shim in observation.shims:
            yield Item(shim, observation.source, endpoint, (shim.nested_in, _owner(shim.uid)))


def _owner(uid: int | None) -> int | None:
    return uid or None


def _space(endpoint: Endpoint, record: Member) -> tuple[object, ...]:
    """What may merge with what: another node, a nested engine, another user's store."""
    if endpoint.is_remote:
        return ("remote", endpoint.address)
    owner = endpoint.owner_uid
    if isinstance(record, ContainerRecord) and record.store_uid is not None:
        owner = record.store_uid
    if isinstance(record, OciState) and record.owner_uid is not None:
        owner = record.owner_uid
    return (endpoint.nested_in, _owner(owner))


def _keys(item: Item, addresses: Addresses, processes: Mapping[int, Process]) -> Iterator[Hashable]:
    space, record = item.space, item.record
    if isinstance(record, Shim):
        yield from _shim_keys(space, record, addresses)
        return
    yield (space, record.ref)
    directory = getattr(record, "bundle_dir", None)
    if isinstance(record, Bundle):
        directory = record.path
        if record.inode is not None:
            yield (space, "inode", record.device, record.inode)
    if directory:
        yield (space, "bundle", os.path.normpath(directory))
    if isinstance(record, OciState):
        yield from _init_keys(space, record, processes)
    elif isinstance(record, ContainerRecord):
        yield from _engine_keys(item, record, addresses)


def _shim_keys(space: tuple[object, ...], shim: Shim, addresses: Addresses) -> Iterator[Hashable]:
    yield (space, "shim", shim.key)
    place = state_dir_of(shim.bundle_dir)
    if place is not None:
        yield (space, Ref(origin=place[0], namespace=place[1], id=place[2]))
    elif shim.namespace and shim.id and shim.kind not in MONITORS:
        # Without the right to see its directory: what its arguments say.
        state = addresses.state_of(shim.containerd_address)
        if state is not None:
            yield (space, Ref(origin=state, namespace=shim.namespace, id=shim.id))
    if shim.bundle_dir:
        yield (space, "bundle", os.path.normpath(shim.bundle_dir))
    if shim.kind in MONITORS and shim.id:
        if shim.graph_root:
            yield (space, Ref(origin=shim.graph_root, namespace="", id=shim.id))
        if (shim.name or "").startswith("k8s_"):
            yield (space, "crio", shim.id)


def _init_keys(
    space: tuple[object, ...], state: OciState, processes: Mapping[int, Process]
) -> Iterator[Hashable]:
    if state.pid is None or state.oci_runtime in SANDBOXED:
        return
    process = processes.get(state.pid)
    if process is not None and process.key.start == state.pid_start:
        yield (space, "init", process.key)


def _engine_keys(item: Item, record: ContainerRecord, addresses: Addresses) -> Iterator[Hashable]:
    state = addresses.state_of(record.below or item.endpoint.below)
    namespace = record.below_namespace or item.endpoint.namespace
    if record.layer == "engine" and state is not None and namespace:
        yield (item.space, Ref(origin=state, namespace=namespace, id=record.ref.id))
    elif item.endpoint.kind == "cri":
        yield (item.space, "crio", record.ref.id)


def _by_cgroup_leaf(groups: list[Group], processes: Mapping[int, Process]) -> list[Group]:
    """The weakest link: an engine's record whose 64-hex id is the cgroup leaf of a live process.

    For an engine whose containerd nobody observed. One candidate only, or none.
    """
    live = {
        p.container_id
        for p in processes.values()
        if p.container_id and len(p.container_id) == HEX_ID
    }
    lower: dict[tuple[object, str], list[Group]] = defaultdict(list)
    for one in groups:
        if one.has_lower_layer and not any(
            record.layer == "engine" for _, record in one.containers
        ):
            for key in {(item.space, _id_of(item.record)) for item in one.items}:
                lower[key].append(one)
    merged: list[Group] = []
    gone: set[int] = set()
    for one in groups:
        if one.containers and not one.has_lower_layer:
            item, record = one.containers[0]
            candidates = lower.get((item.space, record.ref.id), [])
            if record.ref.id in live and len(candidates) == 1:
                gone.update((id(one), id(candidates[0])))
                merged.append(Group([*one.items, *candidates[0].items]))
    return [one for one in groups if id(one) not in gone] + merged


def _id_of(record: Member) -> str:
    if isinstance(record, Shim):
        return record.id or ""
    return record.ref.id
