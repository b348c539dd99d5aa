"""Which records are one container: identity by the strongest link that holds.

Never by the id alone. Records merge where they share a key, and a key is made only of what was
observed: a record's own name in its store, the bundle directory, the live init with its start time,
an engine's link to its containerd, a monitor's arguments. Everything of another node, of a nested
engine or of a store that root does not own lives in a key space of its own.
"""

import os
from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence

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
from rtscope.model.state import Layer

MONITORS = frozenset({"conmon", "conmonrs"})
SANDBOXED = frozenset({"runsc", "kata"})
HEX_ID = 64
_USERS_OWN = "/run/user/"
_REMOTE = "remote"
_ALL_RECORDS = frozenset({Layer.ENGINE, Layer.CONTAINER})

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
    """The records of one container, by kind.

    Attributes:
        is_remote: It lives on another node: nothing of this one may be said of it.
    """

    __slots__ = (
        "bundles",
        "containers",
        "is_remote",
        "items",
        "oci",
        "sandboxes",
        "shims",
        "tasks",
    )

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = tuple(items)
        self.is_remote = any(item.space[0] == _REMOTE for item in items)
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
    def ids(self) -> frozenset[str]:
        """Every id that a record of it has: one, but for a shim that serves a pod."""
        return frozenset(filter(None, (_id_of(item.record) for item in self.items)))

    @property
    def has_lower_layer(self) -> bool:
        """Whether anything below the engine's own record is known."""
        return bool(self.tasks or self.bundles or self.oci or self.shims)

    @property
    def record_layers(self) -> frozenset[Layer]:
        """Which of engine and containerd have a record of it, as a container or as a pod."""
        found = frozenset(Layer(record.layer) for _, record in self.containers)
        return found | {Layer.ENGINE} if self.sandboxes else found

    @property
    def nested_in(self) -> int | None:
        """Pid of the init of the container whose engine keeps it; None on the host."""
        if not self.items or self.is_remote:
            return None
        found = self.items[0].space[0]
        return found if isinstance(found, int) else None

    @property
    def owner(self) -> int | None:
        """Uid of the user whose store it is in; None for root's."""
        if not self.items or self.is_remote:
            return None
        found = self.items[0].space[-1]
        return found if isinstance(found, int) else None


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
    parents = {process.ppid for process in processes.values()}
    return [one for one in _by_cgroup_leaf(groups, processes) if not _is_hollow(one, parents)]


def _is_hollow(group: Group, parents: Container[int]) -> bool:
    """Only the word of a monitor that root's engines did not start and that parents nothing."""
    return all(
        isinstance(item.record, Shim)
        and (item.record.nested_in is not None or bool(item.record.uid))
        and item.record.key.pid not in parents
        for item in group.items
    )


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
        return (_REMOTE, endpoint.address)
    # Whose store it is decides: a link in a user's store may well lead to a file of root's.
    owner = _owner(endpoint.owner_uid)
    if owner is None and isinstance(record, ContainerRecord):
        owner = _owner(record.store_uid)
    if owner is None and isinstance(record, OciState):
        owner = _owner(record.owner_uid)
    if owner is None and isinstance(record, Bundle | Task):
        owner = _owner_of(record.ref.origin)
    return (endpoint.nested_in, owner)


def _owner_of(state_dir: str) -> int | None:
    """The user whose runtime directory it lies in. Source: systemd, pam_systemd(8)."""
    if not state_dir.startswith(_USERS_OWN):
        return None
    uid = state_dir[len(_USERS_OWN) :].partition("/")[0]
    return _owner(int(uid)) if uid.isascii() and uid.isdigit() else None


def _keys(item: Item, addresses: Addresses, processes: Mapping[int, Process]) -> Iterator[Hashable]:
    space, record = item.space, item.record
    if isinstance(record, Shim):
        yield from _shim_keys(space, record, addresses)
        return
    yield (space, _as_seen_inside(record.ref, item.endpoint))
    directory = getattr(record, "bundle_dir", None)
    if isinstance(record, Bundle):
        directory = record.path
        if record.inode is not None:
            yield (space, "inode", record.device, record.inode)
    if directory:
        yield (space, "bundle", _canonical(directory))
    if isinstance(record, OciState):
        place = state_dir_of(directory)
        if place is not None:
            yield (space, Ref(origin=place[0], namespace=place[1], id=place[2]))
        yield from _init_keys(space, record, processes)
    elif isinstance(record, ContainerRecord | Sandbox):
        yield from _engine_keys(item, record, addresses)


def _as_seen_inside(ref: Ref, endpoint: Endpoint) -> Ref:
    """The name that a nested engine itself has for a record: its shims know no other."""
    if endpoint.nested_in is None:
        return ref
    origin = ref.origin.removeprefix(f"/proc/{endpoint.nested_in}/root")
    return Ref(origin=origin, namespace=ref.namespace, id=ref.id)


def _canonical(directory: str) -> str:
    """One spelling of a path: `/var/run` is a link to `/run` wherever containers run."""
    path = os.path.normpath(directory)
    return path[len("/var") :] if path.startswith("/var/run/") else path


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
        yield (space, "bundle", _canonical(shim.bundle_dir))
    if shim.kind in MONITORS and shim.id:
        if shim.graph_root:
            yield (space, Ref(origin=shim.graph_root, namespace="", id=shim.id))
        if (shim.name or "").startswith("k8s_"):
            yield (space, "crio", shim.id)


def _init_keys(
    space: tuple[object, ...], state: OciState, processes: Mapping[int, Process]
) -> Iterator[Hashable]:
    """The live init, if its cgroup or its parents confirm that it is this container's."""
    if state.pid is None or state.oci_runtime in SANDBOXED or space[0] is not None:
        return
    process = processes.get(state.pid)
    if process is None or process.key.start != state.pid_start:
        return
    if process.container_id == state.ref.id or process.shim is not None:
        yield (space, "init", process.key)


def _engine_keys(
    item: Item, record: ContainerRecord | Sandbox, addresses: Addresses
) -> Iterator[Hashable]:
    """The link of an engine to what it sits on, where somebody observed it."""
    is_engine = isinstance(record, Sandbox) or record.layer is Layer.ENGINE
    below = item.endpoint.below
    namespace = item.endpoint.namespace
    if isinstance(record, ContainerRecord):
        below, namespace = record.below or below, record.below_namespace or namespace
    state = addresses.state_of(below)
    if is_engine and state is not None and namespace:
        yield (item.space, Ref(origin=state, namespace=namespace, id=record.ref.id))
    elif item.endpoint.kind == "cri":
        # What the monitors of CRI-O say in their arguments.
        yield (item.space, "crio", record.ref.id)


def _by_cgroup_leaf(groups: list[Group], processes: Mapping[int, Process]) -> list[Group]:
    """The weakest link: a record whose 64-hex id is the cgroup leaf of a live process.

    For an engine or a containerd of which nobody observed what is below it. Where two records of
    one layer could be meant, neither is.
    """
    live = {
        p.container_id
        for p in processes.values()
        if p.container_id and len(p.container_id) == HEX_ID
    }
    upper: dict[tuple[object, str], list[Group]] = defaultdict(list)
    lower: dict[tuple[object, str], list[Group]] = defaultdict(list)
    for one in groups:
        if one.has_lower_layer and one.record_layers == _ALL_RECORDS:
            continue
        for place in {(item.space, _id_of(item.record)) for item in one.items}:
            if place[1] in live and not one.is_remote:
                (lower if one.has_lower_layer else upper)[place].append(one)
    merged: dict[int, Group] = {}
    gone: set[int] = set()
    for key, found in upper.items():
        parts = [*lower.get(key, ()), *found]
        layers = [layer for part in parts for layer in part.record_layers]
        is_clear = len(lower.get(key, ())) == 1 and len(layers) == len(set(layers))
        if is_clear and gone.isdisjoint(id(part) for part in parts):
            gone.update(id(part) for part in parts)
            merged[id(parts[0])] = Group([item for part in parts for item in part.items])
    return [one for one in groups if id(one) not in gone] + list(merged.values())


def _id_of(record: Member) -> str:
    if isinstance(record, Shim):
        return record.id or ""
    return record.ref.id
