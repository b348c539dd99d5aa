"""The calls of the runtime service that are made, each with its own deadline."""

from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError

from rtscope._pb import cri_pb2
from rtscope.backends.channel import Channel
from rtscope.backends.channel.failure import Peer

if TYPE_CHECKING:
    from google.protobuf.message import Message

_M = TypeVar("_M", bound="Message")
_SERVICE = "/runtime.v1.RuntimeService/"


class CriClient:
    """One channel's calls. All raise BackendError or one of its kinds."""

    def __init__(self, channel: Channel, peer: Peer) -> None:
        self._channel = channel
        self._peer = peer

    def version(self, limit_s: float) -> cri_pb2.VersionResponse:
        """Name and version of the runtime."""
        return self._call("Version", cri_pb2.VersionRequest(), cri_pb2.VersionResponse, limit_s)

    def sandboxes(self, limit_s: float) -> cri_pb2.ListPodSandboxResponse:
        """Every pod."""
        request = cri_pb2.ListPodSandboxRequest()
        return self._call("ListPodSandbox", request, cri_pb2.ListPodSandboxResponse, limit_s)

    def containers(self, limit_s: float) -> cri_pb2.ListContainersResponse:
        """Every container."""
        request = cri_pb2.ListContainersRequest()
        return self._call("ListContainers", request, cri_pb2.ListContainersResponse, limit_s)

    def container_status(
        self, container_id: str, limit_s: float, *, verbose: bool
    ) -> cri_pb2.ContainerStatusResponse:
        """One container."""
        request = cri_pb2.ContainerStatusRequest(container_id=container_id, verbose=verbose)
        return self._call("ContainerStatus", request, cri_pb2.ContainerStatusResponse, limit_s)

    def sandbox_status(self, sandbox_id: str, limit_s: float) -> cri_pb2.PodSandboxStatusResponse:
        """One pod, verbose."""
        request = cri_pb2.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=True)
        return self._call("PodSandboxStatus", request, cri_pb2.PodSandboxStatusResponse, limit_s)

    def _call(self, method: str, request: "Message", kind: type[_M], limit_s: float) -> _M:
        answer = self._channel.unary(_SERVICE + method, request.SerializeToString(), limit_s)
        try:
            return kind.FromString(answer)
        except DecodeError as error:
            raise self._peer.malformed("the answer is not protobuf") from error
