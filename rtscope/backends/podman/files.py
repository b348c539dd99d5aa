"""Storage of podman and CRI-O: containers without any service, from files and the kernel."""

import errno
import json
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from rtscope.backends.base import Backend, Draft, Targets
from rtscope.backends.liveness import Life
from rtscope.backends.podman.convert import DocumentError
from rtscope.backends.podman.database import Database, DatabaseError, database_from
from rtscope.backends.podman.monitors import Monitors
from rtscope.backends.podman.records import Members, Seen, record_from, sandboxes_from
from rtscope.backends.podman.store import StoreEntry, entries_from
from rtscope.backends.rights import reason_of_os_error, text_of, unreadable
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.host import Host

MAX_LIST_BYTES = 16 << 20
MAX_DATABASE_BYTES = 64 << 20
_MAX_SPEC_BYTES = 4 << 20
_LISTS = ("containers.json", "volatile-containers.json")
"""The second holds those run with --rm. Source: containers/storage, containers.go."""

_STATE_OF = {
    Reason.ABSENT: EndpointState.ABSENT,
    Reason.DENIED: EndpointState.DENIED,
    Reason.BLOCKED: EndpointState.BLOCKED,
}


class PodmanFilesBackend:
    """Reads one graph root: its lists, podman's database, and what conmon left."""

    name: ClassVar[str] = "podmanfs"
    wave: ClassVar[int] = 2

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._root = endpoint.address.rstrip("/")

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one graph root."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every container of the store, or those in `targets.scope`."""
        draft = Draft(self._endpoint, targets)
        try:
            drivers = _drivers(targets.host, self._root)
            owner = targets.host.stat(self._root).st_uid
        except OSError as error:
            reason = reason_of_os_error(error)
            draft.gap("containers", reason, unreadable(targets.host, self._root, error))
            draft.describe(state=_STATE_OF.get(reason, EndpointState.MALFORMED))
            return draft.observation()
        reading = _Reading(self._endpoint, owner or None, draft, targets)
        for driver in drivers:
            reading.list(driver)
        draft.answered()
        reading.add()
        return draft.observation()

    def document(self, ref: Ref, targets: Targets) -> Any:
        """A container's entry in its list, as it stands."""
        try:
            for driver in _drivers(targets.host, self._root):
                for name in _LISTS:
                    for entry in _documents(targets.host, f"{self._root}/{driver}/{name}"):
                        if isinstance(entry, dict) and entry.get("id") == ref.id:
                            return entry
        except OSError as error:
            raise self._error(f"{self._root}: {text_of(error)}") from error
        except (ValueError, RecursionError) as error:
            raise self._error(f"{self._root}: not JSON") from error
        raise self._error(f"{self._root}: no container {ref.id}")

    def close(self) -> None:
        """Nothing is kept open."""

    def _error(self, message: str) -> BackendError:
        return BackendError(message, backend=self.name, endpoint=self._endpoint.address)


class _Reading:
    """One look at a store: first the lists, then each container's files."""

    def __init__(
        self, endpoint: Endpoint, owner: int | None, draft: Draft, targets: Targets
    ) -> None:
        self._root = endpoint.address.rstrip("/")
        self._origin = endpoint.origin or self._root
        self._owner = owner
        self._draft = draft
        self._host = targets.host
        self._scope = targets.scope
        self._monitors = Monitors(self._root, owner, endpoint.nested_in, targets)
        self._entries: dict[str, tuple[StoreEntry, str]] = {}

    def list(self, driver: str) -> None:
        """Read the lists of one storage driver: the store's, and the run root's."""
        for root in (self._root, *self._monitors.run_roots):
            for name in _LISTS:
                path = f"{root}/{driver}/{name}"
                if root != self._root and name == _LISTS[0]:
                    continue
                self._list(path, driver)

    def add(self) -> None:
        """Turn what was listed into facts."""
        if not self._entries:
            return
        database = self._database()
        members = self._members(database)
        for entry, driver in self._entries.values():
            seen = self._look_at(entry, driver, database)
            record = record_from(
                entry,
                seen,
                members.pod_of(entry),
                origin=self._origin,
                store_uid=self._owner,
                is_infra=members.is_infra(entry),
            )
            if self._is_wanted(record.ref):
                self._draft.add(record)
        entries = [entry for entry, _ in self._entries.values()]
        for sandbox in sandboxes_from(entries, database, members, origin=self._origin):
            if self._is_wanted(sandbox.ref):
                self._draft.add(sandbox)

    def _list(self, path: str, driver: str) -> None:
        try:
            found = entries_from(self._host.read(path, MAX_LIST_BYTES))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                reason = reason_of_os_error(error)
                self._draft.gap("containers", reason, unreadable(self._host, path, error), path)
            return
        except DocumentError as error:
            self._draft.gap("containers", Reason.MALFORMED, f"{path}: {error}", path)
            return
        finally:
            self._draft.asked(path)
        for entry in found:
            if isinstance(entry, str):
                self._draft.gap("container", Reason.MALFORMED, f"{path}: {entry}", path)
            else:
                self._entries.setdefault(entry.id, (entry, driver))

    def _database(self) -> Database:
        path = f"{self._root}/db.sql"
        try:
            data = self._host.read(path, MAX_DATABASE_BYTES)
            self._draft.asked(path)
            return database_from(data)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                reason = reason_of_os_error(error)
                self._draft.gap("exit_code", reason, unreadable(self._host, path, error), path)
        except DatabaseError as error:
            self._draft.gap("exit_code", Reason.MALFORMED, f"{path}: {error}", path)
        return Database()

    def _members(self, database: Database) -> Members:
        """Who belongs to which pod; what the database does not know, the specifications may."""
        members = Members(database)
        for entry, driver in self._entries.values():
            if entry.crio is None and entry.id not in database.containers:
                path = f"{self._root}/{driver}/{entry.id}/userdata/config.json"
                members.learn(entry, _content(self._host, path, _MAX_SPEC_BYTES))
        return members

    def _look_at(self, entry: StoreEntry, driver: str, database: Database) -> Seen:
        directory = f"{driver}/{entry.id}/userdata"
        recorded = database.containers.get(entry.id)
        pid_file = None if recorded is None else recorded.pid_file
        life: Life = self._monitors.life(entry.id, directory, pid_file)
        shim = self._monitors.of(entry.id)
        was_made = recorded is not None or entry.crio is not None
        return Seen(
            life=life,
            is_waiting=self._monitors.is_waiting(entry.id) if life.is_alive else False,
            has_run=was_made or self._host.exists(f"{self._root}/{directory}/config.json"),
            ending=self._monitors.ending(entry.id) if life.is_alive is False else None,
            shim=shim,
            recorded=recorded,
            bundle_dir=f"{self._root}/{directory}" if shim is None else shim.bundle_dir,
        )

    def _is_wanted(self, ref: Ref) -> bool:
        return self._scope is None or ref in self._scope


def _drivers(host: Host, root: str) -> list[str]:
    """Directories that hold a list, one for each storage driver: `overlay-containers`."""
    return sorted(name for name in host.names(root) if name.endswith("-containers"))


def _documents(host: Host, path: str) -> Iterable[Any]:
    try:
        found = json.loads(host.read(path, MAX_LIST_BYTES))
    except FileNotFoundError:
        return ()
    return found if isinstance(found, list) else ()


def _content(host: Host, path: str, limit: int) -> bytes:
    try:
        return host.read(path, limit)
    except OSError:
        return b""


_CONFORMS: type[Backend] = PodmanFilesBackend
