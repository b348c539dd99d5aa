"""dockerd over its HTTP API: every container with one request."""

import json
from typing import Any, ClassVar, Self

from rtscope.backends.base import Backend, Draft, Targets
from rtscope.backends.docker.channel import DockerChannel
from rtscope.backends.docker.convert import (
    DEFAULT_NAMESPACE,
    DocumentError,
    images_from_list,
    record_from_list,
    version_from_server,
)
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import ContainerRecord
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason

_LIST = "/containers/json?all=1"
_SCOPE_MAX = 50
"""More refs than this, and the whole list is cheaper than its filter."""


class DockerBackend:
    """Lists every container with one `GET /containers/json?all=1`; nothing is inspected.

    The version comes from the `Server` header of the same answer.
    """

    name: ClassVar[str] = "docker"
    wave: ClassVar[int] = 1

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._channel = DockerChannel(endpoint.address, deadlines)
        self._is_docker = True

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one dockerd; the first request connects."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every container, or those in `targets.scope`; images where they are needed."""
        draft = Draft(self._endpoint, targets)
        with draft.gap_on_error("containers"):
            documents = self._list(_path_for(targets.scope), draft, targets)
            self._add_containers(documents, draft, targets)
            if "images" in targets.needs:
                self._add_images(draft, targets)
        return draft.observation()

    def document(self, ref: Ref, targets: Targets) -> Any:
        """What `docker inspect` shows of a container."""
        from urllib.parse import quote

        path = f"/containers/{quote(ref.id, safe='')}/json"
        return self._channel.get_json(path, targets.host)[0]

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()

    def _list(self, path: str, draft: Draft, targets: Targets) -> list[Any]:
        """A list from the daemon; the first one tells how it answered and what it is."""
        draft.asked(f"GET {path}")
        try:
            documents, headers = self._channel.get_json(path, targets.host)
        finally:
            if self._channel.connect_ms is not None:
                draft.connected(self._channel.connect_ms)
        if not isinstance(documents, list):
            raise BackendError(f"docker at {self._endpoint.address}: the answer is not a list")
        draft.answered(self._channel.first_answer_ms)
        server = headers.get("server")
        self._is_docker = server is None or server.startswith("Docker/")
        draft.describe(version=version_from_server(server))
        return documents

    def _add_containers(self, documents: list[Any], draft: Draft, targets: Targets) -> None:
        for number, document in enumerate(documents):
            try:
                record = self._record_from(document)
            except DocumentError as error:
                subject = document.get("Id") if isinstance(document, dict) else None
                draft.gap("container", Reason.MALFORMED, str(error), subject=str(subject or number))
                draft.describe(state=EndpointState.MALFORMED)
            else:
                if targets.scope is None or record.ref in targets.scope:
                    draft.add(record)

    def _record_from(self, document: Any) -> ContainerRecord:
        # podman's service speaks docker's API; no containerd is below it.
        namespace = self._endpoint.namespace or DEFAULT_NAMESPACE
        return record_from_list(
            document,
            origin=self._origin,
            below=self._endpoint.below if self._is_docker else None,
            below_namespace=namespace if self._is_docker else None,
            store_uid=self._endpoint.owner_uid,
        )

    def _add_images(self, draft: Draft, targets: Targets) -> None:
        with draft.gap_on_error("images", subject="images"):
            for document in self._list("/images/json", draft, targets):
                try:
                    draft.add(*images_from_list(document, origin=self._origin))
                except DocumentError as error:
                    draft.gap("image", Reason.MALFORMED, str(error), subject="images")

    @property
    def _origin(self) -> str:
        return self._endpoint.origin or self._endpoint.address


def _path_for(scope: tuple[Ref, ...] | None) -> str:
    if scope is None or len(scope) > _SCOPE_MAX:
        return _LIST
    from urllib.parse import quote

    filters = json.dumps({"id": sorted(ref.id for ref in scope)}, separators=(",", ":"))
    return f"{_LIST}&filters={quote(filters, safe='')}"


_CONFORMS: type[Backend] = DockerBackend
