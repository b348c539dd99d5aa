"""The same seam over grpcio: for comparison, and where somebody trusts it more."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from rtscope.backends.channel import Metadata
from rtscope.backends.channel.call import ANSWER_LIMIT
from rtscope.backends.channel.dial import dial, unix_address
from rtscope.backends.channel.failure import DEADLINE_EXCEEDED, UNAVAILABLE, Peer
from rtscope.errors import BackendError, BackendTimeoutError

if TYPE_CHECKING:
    import grpc

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", ANSWER_LIMIT),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Also how long a connection may take to be greeted by the daemon; else 20 s.
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
)


class GrpcioChannel:
    """A `Channel` of grpcio's. It starts threads of its own."""

    def __init__(self, target: str, peer: Peer) -> None:
        import grpc

        self._peer = peer
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self.is_usable = True

    @classmethod
    def connect(cls, address: str, timeout_s: float, peer: Peer) -> Self:
        """Dial once to learn what is wrong: grpcio says UNAVAILABLE for every errno."""
        dial(address, timeout_s, peer).close()
        if address.startswith("tcp://"):
            return cls(address.removeprefix("tcp://"), peer)
        path = unix_address(address)
        return cls(f"unix-abstract:{path[1:]}" if path.startswith("\0") else f"unix:{path}", peer)

    def unary(
        self, method: str, request: bytes, timeout_s: float, metadata: Metadata = ()
    ) -> bytes:
        """The answer to one request. See `Channel`."""
        import grpc

        self._check_open()
        call: Any = self._channel.unary_unary(method)
        try:
            answer: bytes = call(request, timeout=timeout_s, metadata=tuple(metadata))
        except grpc.RpcError as error:
            raise self._error_of(error) from error
        return answer

    def stream(
        self, method: str, request: bytes, timeout_s: float | None, metadata: Metadata = ()
    ) -> Iterator[bytes]:
        """The answers to one request. See `Channel`."""
        import grpc

        self._check_open()
        call: Any = self._channel.unary_stream(method)
        answers = call(request, timeout=timeout_s, metadata=tuple(metadata))
        try:
            yield from answers
        except grpc.RpcError as error:
            raise self._error_of(error) from error
        finally:
            answers.cancel()

    def close(self) -> None:
        """Let go of the connection; calls under way fail. Safe to call twice."""
        self.is_usable = False
        with contextlib.suppress(ValueError):
            self._channel.close()

    def _check_open(self) -> None:
        if not self.is_usable:
            raise self._peer.gone("the connection was closed by us")

    def _error_of(self, error: "grpc.RpcError") -> BackendError:
        code: Any = error
        status, text = code.code(), code.details() or ""
        number: int = status.value[0]
        if not self.is_usable:
            return self._peer.gone("the connection was closed by us")
        if number == DEADLINE_EXCEEDED:
            return self._peer.error(BackendTimeoutError, "no answer in time")
        if number == UNAVAILABLE and "handshake" in text.lower():
            return self._peer.malformed(f"the answer is not HTTP/2: {text}")
        return self._peer.status(number, text)
