"""State files of OCI runtimes: runc, crun, youki and runsc, read without their binaries."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from rtscope.backends.base import Backend, Draft, Targets
from rtscope.backends.liveness import Life, Liveness
from rtscope.backends.oci.convert import (
    StateFile,
    StateFileError,
    crun_from,
    derive,
    runsc_from,
    sandbox_of,
    state_from,
    youki_cgroup_in,
)
from rtscope.backends.rights import reason_of_os_error, text_of, unreadable
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import OciState
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.host import Host

MAX_FILE_BYTES = 4 << 20
"""Annotations may take a megabyte; a larger file is not a runtime's."""

_STATE_OF = {
    Reason.ABSENT: EndpointState.ABSENT,
    Reason.DENIED: EndpointState.DENIED,
    Reason.BLOCKED: EndpointState.BLOCKED,
}


class OciBackend:
    """Reads every state file of one root. The files tell the runtime, not the root's name."""

    name: ClassVar[str] = "oci"
    wave: ClassVar[int] = 2

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._root = endpoint.address.rstrip("/")

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one root."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every container that has a state, or those in `targets.scope`."""
        draft = Draft(self._endpoint, targets)
        draft.asked(f"{self._root}/*")
        try:
            names = sorted(targets.host.names(self._root))
        except OSError as error:
            reason = reason_of_os_error(error)
            draft.gap("oci_states", reason, unreadable(targets.host, self._root, error))
            draft.describe(state=_STATE_OF.get(reason, EndpointState.MALFORMED))
            return draft.observation()
        draft.answered()
        reader = _Reader(self._root, self._endpoint, draft, targets)
        for name, container_id in self._wanted(names, targets):
            reader.add(name, container_id)
        return draft.observation()

    def document(self, ref: Ref, targets: Targets) -> Any:
        """The state file as it stands."""
        try:
            for name in targets.host.names(self._root):
                if _id_in(name) == ref.id:
                    return json.loads(_read(targets.host, f"{self._root}/{name}")[1])
        except OSError as error:
            raise self._error(f"{self._root}: {text_of(error)}") from error
        except (ValueError, RecursionError) as error:
            raise self._error(f"{self._root}/{ref.id}: not JSON") from error
        raise self._error(f"{self._root}/{ref.id}: no such container")

    def close(self) -> None:
        """Nothing is kept open."""

    def _wanted(self, names: list[str], targets: Targets) -> Iterator[tuple[str, str]]:
        """Names of the root's entries and the ids that they are of."""
        ids = None
        if targets.scope is not None:
            ids = {ref.id for ref in targets.scope if ref.origin == self._root}
        for name in names:
            container_id = _id_in(name)
            if container_id is not None and (ids is None or container_id in ids):
                yield name, container_id

    def _error(self, message: str) -> BackendError:
        return BackendError(message, backend=self.name, endpoint=self._endpoint.address)


class _Reader:
    """Turns one entry of a root after another into a fact, or a gap."""

    def __init__(self, root: str, endpoint: Endpoint, draft: Draft, targets: Targets) -> None:
        self._root = root
        self._namespace = endpoint.namespace or ""
        self._is_nested = endpoint.nested_in is not None
        self._draft = draft
        self._host = targets.host
        self._liveness = Liveness(targets, endpoint.nested_in)

    def add(self, name: str, container_id: str) -> None:
        """Read one container's files."""
        path = f"{self._root}/{name}"
        try:
            file = self._file(name, path, container_id)
            owner = self._host.stat(path).st_uid
        except OSError as error:
            self._unread(path, container_id, error)
        except StateFileError as error:
            self._draft.gap("oci_state", Reason.MALFORMED, f"{path}: {error}", container_id)
        else:
            self._draft.add(self._fact(file, path, owner))

    def _file(self, name: str, path: str, container_id: str) -> StateFile:
        kind, data = _read(self._host, path)
        sandbox = sandbox_of(name)
        if sandbox is not None:
            file = runsc_from(data, sandbox[1])
        elif kind == "status":
            file = crun_from(data, container_id)
        else:
            file = state_from(data)
        if file.id != container_id:
            raise StateFileError("names another container")
        return file

    def _fact(self, file: StateFile, path: str, owner: int) -> OciState:
        cgroup = self._youki_cgroup(path) if file.oci_runtime == "youki" else file.cgroup_path
        life = self._life(file, cgroup)
        state = derive(
            file,
            is_alive=life.is_alive,
            is_frozen=life.is_frozen,
            is_waiting=bool(life.is_alive) and self._has_fifo(file, path),
        )
        return OciState(
            ref=Ref(origin=self._root, namespace=self._namespace, id=file.id),
            oci_runtime=file.oci_runtime,
            state=state,
            state_raw=file.state_raw,
            pid=self._pid_of(file, life),
            pid_start=file.pid_start,
            bundle_dir=file.bundle_dir,
            rootfs=file.rootfs,
            created_at=file.created_at,
            cgroup_path=cgroup,
            annotations=file.annotations,
            owner_uid=owner,
            sandbox_id=file.sandbox_id,
        )

    def _life(self, file: StateFile, cgroup: str | None) -> Life:
        # A sandbox serves containers of several cgroups.
        known = None if file.oci_runtime == "runsc" else cgroup
        return self._liveness.of(file.pid, file.pid_start, born=file.created_at, cgroup=known)

    def _pid_of(self, file: StateFile, life: Life) -> int | None:
        """As the node counts; a nested runtime's own number would be somebody else's."""
        if not self._is_nested:
            return file.pid
        return None if life.key is None else life.key.pid

    def _has_fifo(self, file: StateFile, path: str) -> bool:
        """Whether `start` has yet to come. Source: runc and crun, exec.fifo in the state folder."""
        return file.oci_runtime in ("runc", "crun") and self._host.exists(f"{path}/exec.fifo")

    def _youki_cgroup(self, path: str) -> str | None:
        try:
            return youki_cgroup_in(self._host.read(f"{path}/youki_config.json", MAX_FILE_BYTES))
        except OSError:
            return None

    def _unread(self, path: str, container_id: str, error: OSError) -> None:
        """A state that could not be read; one deleted meanwhile is no loss."""
        reason = reason_of_os_error(error)
        if reason is Reason.ABSENT and not self._host.exists(path):
            return
        self._draft.gap("oci_state", reason, unreadable(self._host, path, error), container_id)


def _id_in(name: str) -> str | None:
    """The id that an entry of a root is of; None for what is no container.

    runsc keeps locks beside its files, crun a cache of seccomp filters in a hidden folder.
    """
    sandbox = sandbox_of(name)
    if sandbox is not None:
        return sandbox[0]
    return None if name.startswith(".") or name.endswith(".lock") else name


def _read(host: Host, path: str) -> tuple[str, bytes]:
    """What holds the state, and its content."""
    if sandbox_of(path.rpartition("/")[2]) is not None:
        return "state", host.read(path, MAX_FILE_BYTES)
    try:
        return "state.json", host.read(f"{path}/state.json", MAX_FILE_BYTES)
    except FileNotFoundError:
        return "status", host.read(f"{path}/status", MAX_FILE_BYTES)


_CONFORMS: type[Backend] = OciBackend
