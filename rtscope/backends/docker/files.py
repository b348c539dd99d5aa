"""Docker's own files below its data root: what it recorded, whether or not it answers."""

import json
from typing import Any, ClassVar, Self

from rtscope.backends.base import Backend, Draft, Targets
from rtscope.backends.docker.convert import (
    DEFAULT_NAMESPACE,
    DocumentError,
    record_from_config,
)
from rtscope.backends.rights import reason_of_os_error, text_of, unreadable
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason

MAX_FILE_BYTES = 8 << 20
"""Labels alone may take a megabyte each."""

_FILE = "config.v2.json"
_STATE_OF = {
    Reason.ABSENT: EndpointState.ABSENT,
    Reason.BLOCKED: EndpointState.BLOCKED,
    Reason.DENIED: EndpointState.DENIED,
}


class DockerFilesBackend:
    """Reads `containers/ID/config.v2.json` of a data root; needs no daemon."""

    name: ClassVar[str] = "dockerfs"
    wave: ClassVar[int] = 2

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._directory = f"{endpoint.address.rstrip('/')}/containers"

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one data root."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every container that has a directory, or those in `targets.scope`."""
        draft = Draft(self._endpoint, targets)
        draft.asked(f"{self._directory}/*/{_FILE}")
        try:
            ids = [name for name in targets.host.names(self._directory) if _is_id(name)]
        except OSError as error:
            self._no_directory(error, draft, targets)
            return draft.observation()
        draft.answered()
        if targets.scope is not None:
            wanted = {ref.id for ref in targets.scope if ref.origin == self._origin}
            ids = [name for name in ids if name in wanted]
        for container_id in ids:
            self._add(container_id, draft, targets)
        return draft.observation()

    def document(self, ref: Ref, targets: Targets) -> Any:
        """A container's `config.v2.json` as it stands."""
        path = self._path(ref.id)
        try:
            return json.loads(targets.host.read(path, MAX_FILE_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            raise BackendError(
                f"{path}: {_reason_in(error)}", backend=self.name, endpoint=self._endpoint.address
            ) from error

    def close(self) -> None:
        """Nothing is kept open."""

    def _no_directory(self, error: OSError, draft: Draft, targets: Targets) -> None:
        reason = reason_of_os_error(error)
        draft.gap("containers", reason, unreadable(targets.host, self._directory, error))
        draft.describe(state=_STATE_OF.get(reason, EndpointState.MALFORMED))

    def _add(self, container_id: str, draft: Draft, targets: Targets) -> None:
        path = self._path(container_id)
        try:
            document = json.loads(targets.host.read(path, MAX_FILE_BYTES))
            record = record_from_config(
                document,
                origin=self._origin,
                below=self._endpoint.below,
                below_namespace=self._endpoint.namespace or DEFAULT_NAMESPACE,
                store_uid=self._endpoint.owner_uid,
            )
            if record.ref.id != container_id:
                raise DocumentError("names another container")
        except OSError as error:
            self._unreadable(container_id, error, draft, targets)
        except (ValueError, RecursionError) as error:
            detail = f"{path}: {_reason_in(error)}"
            draft.gap("container", Reason.MALFORMED, detail, subject=container_id)
        else:
            draft.add(record)

    def _unreadable(
        self, container_id: str, error: OSError, draft: Draft, targets: Targets
    ) -> None:
        """A file that could not be read; of a container removed meanwhile there is no gap."""
        reason = reason_of_os_error(error)
        directory = f"{self._directory}/{container_id}"
        if reason is Reason.ABSENT and not targets.host.exists(directory):
            return
        detail = unreadable(targets.host, self._path(container_id), error)
        draft.gap("container", reason, detail, subject=container_id)

    def _path(self, container_id: str) -> str:
        return f"{self._directory}/{container_id}/{_FILE}"

    @property
    def _origin(self) -> str:
        return self._endpoint.origin or self._endpoint.address


def _is_id(name: str) -> bool:
    return len(name) == 64 and not name.strip("0123456789abcdef")


def _reason_in(error: Exception) -> str:
    if isinstance(error, OSError):
        return text_of(error)
    return str(error) if isinstance(error, DocumentError) else "not JSON"


_CONFORMS: type[Backend] = DockerFilesBackend
