"""Facts of a store's containers and pods: files, database and kernel put together; pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from rtscope.backends.liveness import Life
from rtscope.backends.podman.convert import state_from
from rtscope.backends.podman.database import Database, DbContainer
from rtscope.backends.podman.monitors import Ending
from rtscope.backends.podman.store import StoreEntry, membership_in
from rtscope.model.facts import fact
from rtscope.model.records import ContainerRecord, Pod, Sandbox, Shim
from rtscope.model.refs import Ref
from rtscope.model.state import Layer, State

_NEVER_RAN = frozenset({"created", "initialized"})


@fact
class Seen:
    """What was found of one container beside its entry in the list.

    Attributes:
        is_waiting: For `start`; None where that cannot be seen.
        has_run: False where there is no sign that it was ever made ready to run.
        ending: What conmon wrote; None if its init lives, or may.
        recorded: podman's own record; None in older stores and for CRI-O's containers.
    """

    life: Life
    is_waiting: bool | None
    has_run: bool
    ending: Ending | None
    shim: Shim | None
    recorded: DbContainer | None
    bundle_dir: str | None


class Members:
    """Which pod each container belongs to, and which of them only hold a pod's namespaces."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._infra_of: dict[str, str] = {}
        self._pod_of_infra: dict[str, str] = {}

    def learn(self, entry: StoreEntry, spec: bytes) -> None:
        """Take what a container's OCI specification says, where there is no database."""
        infra, pod = membership_in(spec)
        if infra is not None:
            self._infra_of[entry.id] = infra
        if pod is not None and entry.is_infra_by_name:
            self._pod_of_infra[entry.id] = pod

    def pod_of(self, entry: StoreEntry) -> Pod | None:
        """The pod of a container, as far as it is known."""
        if entry.crio is not None:
            return entry.crio.pod
        pod_id = self.pod_id_of(entry)
        if pod_id is None:
            return None
        known = self._database.pods.get(pod_id)
        return Pod(name=None if known is None else known.name, sandbox_id=pod_id)

    def pod_id_of(self, entry: StoreEntry) -> str | None:
        """The id of a podman pod."""
        recorded = self._database.containers.get(entry.id)
        if recorded is not None:
            return recorded.pod_id
        return self._pod_of_infra.get(self._infra_of.get(entry.id, entry.id))

    def is_infra(self, entry: StoreEntry) -> bool:
        """Whether it only holds a pod's namespaces."""
        if entry.crio is not None:
            return entry.crio.is_pod
        recorded = self._database.containers.get(entry.id)
        if recorded is not None:
            return recorded.is_infra
        return entry.id in self._infra_of.values() or entry.is_infra_by_name


def record_from(
    entry: StoreEntry,
    seen: Seen,
    pod: Pod | None,
    *,
    origin: str,
    store_uid: int | None,
    is_infra: bool,
) -> ContainerRecord:
    """A container of podman's or CRI-O's."""
    recorded, shim = seen.recorded, seen.shim
    state = derive(entry, seen)
    exit_code, finished_at = _ending_of(seen, state)
    return ContainerRecord(
        ref=Ref(origin=origin, namespace="", id=entry.id),
        layer=Layer.ENGINE,
        name=_name_of(entry),
        image_ref=entry.image_ref,
        image_id=entry.image_id,
        command=None if recorded is None else recorded.command,
        state=state,
        state_raw=None if recorded is None else recorded.word,
        pid=None if seen.life.key is None else seen.life.key.pid,
        created_at=entry.created_at,
        started_at=None if recorded is None else recorded.started_at,
        finished_at=finished_at,
        exit_code=exit_code,
        oom_killed=recorded.oom_killed if recorded is not None and state is State.STOPPED else None,
        restart_count=None if recorded is None else recorded.restart_count,
        labels=_labels_of(entry, recorded),
        pod=pod,
        attempt=None if entry.crio is None else entry.crio.attempt,
        oci_runtime=_oci_runtime_of(recorded, shim),
        bundle_dir=seen.bundle_dir,
        log_path=_log_path_of(recorded, shim),
        is_sandbox=is_infra,
        store_uid=store_uid,
        is_complete=False,
    )


def derive(entry: StoreEntry, seen: Seen) -> State:
    """The state by the kernel; the record's own word only where no init was ever there."""
    word = None if seen.recorded is None else seen.recorded.word
    if seen.life.is_alive is None:
        return state_from(word)
    if seen.life.is_alive:
        if seen.life.is_frozen:
            return State.PAUSED
        is_waiting = word == "initialized" if seen.is_waiting is None else seen.is_waiting
        return State.CREATED if is_waiting else State.RUNNING
    if entry.crio is not None and entry.crio.is_pod:
        # Without an infra container a pod of CRI-O has no process that could tell.
        return State.UNKNOWN
    if word in _NEVER_RAN or not seen.has_run:
        return State.CREATED
    return State.STOPPED


def sandboxes_from(
    entries: Iterable[StoreEntry], database: Database, members: Members, *, origin: str
) -> Iterator[Sandbox]:
    """The pods: CRI-O's by their entries, podman's by the database, else by their members."""
    pod_ids: dict[str, None] = dict.fromkeys(database.pods)
    for entry in entries:
        if entry.crio is not None:
            if entry.crio.is_pod:
                yield _crio_sandbox(entry, origin)
        elif pod_id := members.pod_id_of(entry):
            pod_ids.setdefault(pod_id)
    for pod_id in pod_ids:
        known = database.pods.get(pod_id)
        yield Sandbox(
            ref=Ref(origin=origin, namespace="", id=pod_id),
            pod_name=None if known is None else known.name,
            created_at=None if known is None else known.created_at,
            labels={} if known is None else known.labels,
        )


def _crio_sandbox(entry: StoreEntry, origin: str) -> Sandbox:
    assert entry.crio is not None
    pod = entry.crio.pod
    return Sandbox(
        ref=Ref(origin=origin, namespace="", id=entry.id),
        pod_name=pod.name,
        pod_namespace=pod.namespace,
        pod_uid=pod.uid,
        attempt=entry.crio.attempt,
        created_at=entry.created_at,
        labels=_labels_of(entry, None),
    )


def _name_of(entry: StoreEntry) -> str | None:
    if entry.crio is None or entry.crio.container is None:
        return entry.name
    return entry.crio.container


def _labels_of(entry: StoreEntry, recorded: DbContainer | None) -> Mapping[str, str]:
    """The kubelet's labels where CRI-O's record implies them: how such a container is told."""
    if entry.crio is None:
        return {} if recorded is None else recorded.labels
    pod = entry.crio.pod
    labels = {
        "io.kubernetes.container.name": entry.crio.container,
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
        "io.kubernetes.pod.uid": pod.uid,
    }
    return {key: value for key, value in labels.items() if value}


def _ending_of(seen: Seen, state: State) -> tuple[int | None, datetime | None]:
    """Exit code and instant: podman's record of this end, else conmon's file."""
    if state is not State.STOPPED:
        return None, None
    if seen.recorded is not None and seen.recorded.exit_code is not None:
        return seen.recorded.exit_code, seen.recorded.finished_at
    if seen.ending is None:
        return None, None
    return seen.ending.exit_code, seen.ending.finished_at


def _oci_runtime_of(recorded: DbContainer | None, shim: Shim | None) -> str | None:
    if shim is not None and shim.oci_runtime:
        return shim.oci_runtime
    return None if recorded is None else recorded.oci_runtime


def _log_path_of(recorded: DbContainer | None, shim: Shim | None) -> str | None:
    if recorded is not None and recorded.log_path:
        return recorded.log_path
    return None if shim is None else shim.log_path
