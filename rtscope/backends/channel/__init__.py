"""The seam for gRPC: method paths and bytes, whatever carries them.

Two implementations stand behind it and pass the same contract tests: `lean`, our own HTTP/2 on one
socket, and `grpcio`. RTSCOPE_GRPC=grpcio picks the latter.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

from rtscope.backends.channel.failure import NOT_FOUND, UNIMPLEMENTED, Peer, RpcError
from rtscope.errors import UsageError

__all__ = ["NOT_FOUND", "UNIMPLEMENTED", "Channel", "Metadata", "RpcError", "connect"]

CHOICE = "RTSCOPE_GRPC"
"""The environment variable that picks the implementation: `lean` or `grpcio`."""

Metadata = Sequence[tuple[str, str]]
"""Header fields of one call: lower-case names, ASCII values. containerd wants its namespace so."""


class Channel(Protocol):
    """One connection to one daemon; may be used by many threads at once.

    Calls raise BackendError or one of its kinds, and nothing else: BackendTimeoutError where the
    deadline passed, RpcError (with `code`) where the daemon answered with an error.
    """

    @property
    def is_usable(self) -> bool:
        """Whether another call may succeed: False after `close`, or once the connection broke."""
        ...

    def unary(
        self, method: str, request: bytes, timeout_s: float, metadata: Metadata = ()
    ) -> bytes:
        """The answer to one request.

        Args:
            method: gRPC's path: `/package.Service/Method`.
            request: The serialised message.
            timeout_s: For the whole call.
            metadata: Header fields.
        """
        ...

    def stream(
        self, method: str, request: bytes, timeout_s: float | None, metadata: Metadata = ()
    ) -> Iterator[bytes]:
        """The answers to one request, as they come. Leaving the iterator cancels the call.

        Args:
            method: gRPC's path.
            request: The serialised message.
            timeout_s: For the whole stream; None has no end, `close` ends it.
            metadata: Header fields.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; calls under way fail. Safe to call twice."""
        ...


def connect(address: str, *, connect_timeout_s: float, backend: str, endpoint: str) -> Channel:
    """A channel to a daemon that listens at `address`.

    Args:
        address: What to dial: a path, `unix://PATH` or `tcp://HOST:PORT`.
        connect_timeout_s: For the socket; the first answer has the first call's deadline.
        backend: Named in errors.
        endpoint: Named in errors: the address as the user knows it.

    Raises:
        BackendError: or one of its kinds: nobody listens, denied, no room in the queue.
        UsageError: The environment variable names no implementation.
    """
    peer = Peer(backend, endpoint)
    choice = os.environ.get(CHOICE) or "lean"
    if choice == "lean":
        from rtscope.backends.channel.lean import LeanChannel

        return LeanChannel.connect(address, connect_timeout_s, peer)
    if choice == "grpcio":
        from rtscope.backends.channel.grpcio import GrpcioChannel

        return GrpcioChannel.connect(address, connect_timeout_s, peer)
    raise UsageError(f"{CHOICE}={choice}: no such implementation", f"{CHOICE}=lean")
