"""podman over libpod's REST API, where its service listens."""

import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self
from urllib.parse import quote

from rtscope.backends.base import Backend, Draft, Record, Targets
from rtscope.backends.channel.failure import Peer
from rtscope.backends.channel.http import HttpConnection
from rtscope.backends.podman.convert import (
    DocumentError,
    images_from,
    record_from_list,
    sandbox_from,
    version_from_server,
)
from rtscope.backends.rights import reach
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendDeniedError, BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.host import Host

_API = "/v4.0.0/libpod"
"""Served by podman 4 and 5 alike. Source: observed, podman 4.3.1 and 5.8.6."""

_SCOPE_MAX = 50


class PodmanBackend:
    """Two lists, nothing inspected. The version comes from the `Server` header of the first."""

    name: ClassVar[str] = "podman"
    wave: ClassVar[int] = 1

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._peer = Peer(self.name, endpoint.address)
        self._connection: HttpConnection | None = None

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one service; the first request connects."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every container and pod, or those in `targets.scope`; images where they are needed."""
        draft = Draft(self._endpoint, targets)
        with draft.gap_on_error("containers"):
            connection = self._open(targets.host)
            documents = self._ask_containers(connection, draft, targets)
            self._add(documents, self._record_from, "container", draft, targets)
            with draft.gap_on_error("sandboxes", subject="pods"):
                documents = self._list(f"{_API}/pods/json", connection, draft)
                self._add(documents, self._sandbox_from, "sandbox", draft, targets)
            if "images" in targets.needs:
                with draft.gap_on_error("images", subject="images"):
                    documents = self._list(f"{_API}/images/json", connection, draft)
                    self._add(documents, self._images_from, "image", draft, targets)
        return draft.observation()

    def document(self, ref: Ref, targets: Targets) -> Any:
        """What `podman inspect` shows of a container."""
        path = f"{_API}/containers/{quote(ref.id, safe='')}/json"
        return self._get(path, self._open(targets.host), self._deadlines.request_s)[0]

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self, host: Host) -> HttpConnection:
        """The connection, kept from one observation to the next."""
        if self._connection is None:
            address = self._endpoint.address.removeprefix("unix://")
            if "://" not in address:
                address = reach(host, address, self._peer)
            self._connection = HttpConnection(
                address,
                backend=self.name,
                endpoint=self._endpoint.address,
                deadlines=self._deadlines,
            )
        return self._connection

    def _ask_containers(
        self, connection: HttpConnection, draft: Draft, targets: Targets
    ) -> list[Any]:
        path = _path_for(targets.scope)
        draft.asked(f"GET {path}")
        document, headers = self._get(path, connection, self._deadlines.first_answer_s)
        documents = self._listed(document)
        draft.describe(version=version_from_server(headers.get("server")))
        if connection.connect_ms is not None:
            draft.connected(connection.connect_ms)
        draft.answered(connection.first_answer_ms)
        return documents

    def _list(self, path: str, connection: HttpConnection, draft: Draft) -> list[Any]:
        draft.asked(f"GET {path}")
        return self._listed(self._get(path, connection, self._deadlines.request_s)[0])

    def _listed(self, document: Any) -> list[Any]:
        # Go writes an empty list as null in some versions.
        if document is None:
            return []
        if not isinstance(document, list):
            raise self._peer.malformed("the answer is not a list")
        return document

    def _get(
        self, path: str, connection: HttpConnection, limit_s: float
    ) -> tuple[Any, dict[str, str]]:
        status, headers, body = connection.get(path, limit_s)
        if status != 200:
            kind = BackendDeniedError if status in (401, 403) else BackendError
            raise self._peer.error(kind, f"HTTP {status}{_message_in(body)}")
        try:
            return json.loads(body), headers
        except (ValueError, RecursionError) as error:
            raise self._peer.malformed("the answer is not JSON") from error

    def _add(
        self,
        documents: list[Any],
        convert: Callable[[Any], Iterable[Record]],
        missing: str,
        draft: Draft,
        targets: Targets,
    ) -> None:
        for place, document in enumerate(documents):
            try:
                records = list(convert(document))
            except DocumentError as error:
                draft.gap(missing, Reason.MALFORMED, str(error), subject=f"{missing} {place}")
                draft.describe(state=EndpointState.MALFORMED)
            else:
                draft.add(*(r for r in records if _is_wanted(r, targets)))

    def _record_from(self, document: Any) -> Iterable[Record]:
        yield record_from_list(
            document, origin=self._origin, store_uid=self._endpoint.owner_uid or None
        )

    def _sandbox_from(self, document: Any) -> Iterable[Record]:
        yield sandbox_from(document, origin=self._origin)

    def _images_from(self, document: Any) -> Iterable[Record]:
        return images_from(document, origin=self._origin)

    @property
    def _origin(self) -> str:
        return self._endpoint.origin or self._endpoint.address


def _path_for(scope: tuple[Ref, ...] | None) -> str:
    path = f"{_API}/containers/json?all=true"
    if scope is None or len(scope) > _SCOPE_MAX:
        return path
    filters = json.dumps({"id": sorted(ref.id for ref in scope)}, separators=(",", ":"))
    return f"{path}&filters={quote(filters, safe='')}"


def _is_wanted(record: Any, targets: Targets) -> bool:
    return targets.scope is None or record.ref in targets.scope


def _message_in(body: bytes) -> str:
    try:
        return f": {json.loads(body)['message']}"
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""


_CONFORMS: type[Backend] = PodmanBackend
