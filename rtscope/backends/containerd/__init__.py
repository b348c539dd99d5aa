"""containerd over gRPC: its version, its namespaces, and the containers of each."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from rtscope.backends.base import Backend, Draft, Targets, reason_of
from rtscope.backends.channel import Channel, connect
from rtscope.backends.channel.failure import Peer
from rtscope.backends.rights import reach
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.host import Host

if TYPE_CHECKING:
    from google.protobuf.message import Message

_M = TypeVar("_M", bound="Message")

_VERSION = "/containerd.services.version.v1.Version/Version"
_NAMESPACES = "/containerd.services.namespaces.v1.Namespaces/List"
_CONTAINERS = "/containerd.services.containers.v1.Containers/ListStream"
_CONTAINER = "/containerd.services.containers.v1.Containers/Get"
_IMAGES = "/containerd.services.images.v1.Images/List"

_NAMESPACE_HEADER = "containerd-namespace"
"""Source: containerd, pkg/namespaces/grpc.go, GRPCHeader."""

_SCOPE_MAX = 50
"""More refs than this, and the whole list is cheaper than its filters."""


class ContainerdBackend:
    """Lists metadata only: `Version` first and alone, then namespaces, then a stream for each.

    `List` would fail at some hundred containers (4 MiB), and nothing of `Tasks` is asked: a single
    stopped shim makes it take seconds.
    """

    name: ClassVar[str] = "containerd"
    wave: ClassVar[int] = 1

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._peer = Peer(self.name, endpoint.address)
        self._channel: Channel | None = None

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one containerd; the first request connects."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every container, or those in `targets.scope`; images where they are needed."""
        draft = Draft(self._endpoint, targets)
        with draft.gap_on_error("containers"):
            channel = self._open(draft, targets.host)
            self._ask_version(channel, draft)
            namespaces = self._ask_namespaces(channel, draft)
            wanted = [name for name in namespaces if self._is_wanted(name, targets.scope)]
            for number, namespace in enumerate(wanted):
                if not self._ask_containers(channel, namespace, draft, targets):
                    for other in wanted[number + 1 :]:
                        draft.gap(
                            "containers", Reason.SILENT, f"not asked after {namespace}", other
                        )
                    break
                if "images" in targets.needs:
                    self._ask_images(channel, namespace, draft)
        return draft.observation()

    def document(self, ref: Ref, targets: Targets) -> Any:
        """What `ctr containers info` shows of a container."""
        from rtscope._pb import containers_pb2
        from rtscope.backends.containerd.convert import document_from

        channel = self._open(Draft(self._endpoint, targets), targets.host)
        request = containers_pb2.GetContainerRequest(id=ref.id).SerializeToString()
        answer = channel.unary(
            _CONTAINER, request, self._deadlines.request_s, _metadata(ref.namespace)
        )
        return document_from(self._parse(containers_pb2.GetContainerResponse, answer).container)

    def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _open(self, draft: Draft, host: Host) -> Channel:
        if self._channel is not None and self._channel.is_usable:
            return self._channel
        self.close()
        address = self._endpoint.address.removeprefix("unix://")
        if "://" not in address:
            address = reach(host, address, self._peer)
        # Imported here, or the first connection would seem 9 ms slower than the daemon is.
        import rtscope.backends.channel.lean  # noqa: F401

        started_at = time.monotonic()
        self._channel = connect(
            address,
            connect_timeout_s=self._deadlines.connect_s,
            backend=self.name,
            endpoint=self._endpoint.address,
        )
        draft.connected((time.monotonic() - started_at) * 1000)
        return self._channel

    def _ask_version(self, channel: Channel, draft: Draft) -> None:
        from rtscope._pb import version_pb2

        draft.asked("Version")
        started_at = time.monotonic()
        answer = channel.unary(_VERSION, b"", self._deadlines.first_answer_s)
        took_ms = (time.monotonic() - started_at) * 1000
        version = self._parse(version_pb2.VersionResponse, answer).version
        draft.answered(took_ms)
        draft.describe(version=version.removeprefix("v") or None)

    def _ask_namespaces(self, channel: Channel, draft: Draft) -> Sequence[str]:
        from rtscope._pb import namespaces_pb2

        draft.asked("Namespaces.List")
        try:
            answer = channel.unary(_NAMESPACES, b"", self._deadlines.request_s)
            response = self._parse(namespaces_pb2.ListNamespacesResponse, answer)
        except BackendError:
            draft.describe(state=EndpointState.MALFORMED)
            raise
        return sorted(namespace.name for namespace in response.namespaces)

    def _ask_containers(
        self, channel: Channel, namespace: str, draft: Draft, targets: Targets
    ) -> bool:
        """One namespace's containers as they come; False where no other needs to be asked."""
        from rtscope._pb import containers_pb2
        from rtscope.backends.containerd.convert import record_from

        draft.asked(f"Containers.ListStream {namespace}")
        filters = _filters_for(namespace, targets.scope)
        request = containers_pb2.ListContainersRequest(filters=filters).SerializeToString()
        try:
            answers = channel.stream(
                _CONTAINERS, request, self._deadlines.request_s, _metadata(namespace)
            )
            for answer in answers:
                message = self._parse(containers_pb2.ListContainerMessage, answer)
                record = record_from(
                    message.container,
                    origin=self._origin,
                    namespace=namespace,
                    store_uid=self._endpoint.owner_uid,
                    with_spec="specs" in targets.needs,
                )
                if targets.scope is None or record.ref in targets.scope:
                    draft.add(record)
        except BackendError as error:
            return self._incomplete(error, namespace, channel, draft)
        return True

    def _incomplete(
        self, error: BackendError, namespace: str, channel: Channel, draft: Draft
    ) -> bool:
        """One namespace could not be listed to its end; whether the next can still be asked."""
        reason = reason_of(error)
        draft.gap("containers", reason, f"namespace {namespace}: {error.message}", namespace)
        is_silent = reason is Reason.SILENT
        draft.describe(state=EndpointState.SILENT if is_silent else EndpointState.MALFORMED)
        return channel.is_usable and not is_silent

    def _ask_images(self, channel: Channel, namespace: str, draft: Draft) -> None:
        from rtscope._pb import images_pb2
        from rtscope.backends.containerd.convert import image_from

        draft.asked(f"Images.List {namespace}")
        with draft.gap_on_error("images", subject=namespace):
            answer = channel.unary(_IMAGES, b"", self._deadlines.request_s, _metadata(namespace))
            response = self._parse(images_pb2.ListImagesResponse, answer)
            for image in response.images:
                draft.add(image_from(image, origin=self._origin, namespace=namespace))

    def _parse(self, kind: type[_M], answer: bytes) -> _M:
        from google.protobuf.message import DecodeError

        try:
            return kind.FromString(answer)
        except DecodeError as error:
            raise self._peer.malformed("the answer is not protobuf") from error

    def _is_wanted(self, namespace: str, scope: tuple[Ref, ...] | None) -> bool:
        if scope is None:
            return True
        return any(ref.namespace == namespace and ref.origin == self._origin for ref in scope)

    @property
    def _origin(self) -> str:
        return self._endpoint.origin or self._endpoint.address


def _metadata(namespace: str) -> tuple[tuple[str, str], ...]:
    return ((_NAMESPACE_HEADER, namespace),)


def _filters_for(namespace: str, scope: tuple[Ref, ...] | None) -> tuple[str, ...]:
    """Filters that are any of, as containerd reads a list of them."""
    ids = [ref.id for ref in scope or () if ref.namespace == namespace]
    if len(ids) > _SCOPE_MAX:
        return ()
    return tuple(f"id=={container_id}" for container_id in ids)


_CONFORMS: type[Backend] = ContainerdBackend
