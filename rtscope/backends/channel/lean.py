"""gRPC over one socket with nothing but the standard library.

Importing grpcio costs more than asking a daemon everything. One connection, any number of calling
threads, none of its own: whoever waits first reads for all, and hands that over once its own answer
is complete. Clear text only, which is what daemons speak on unix sockets.
"""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rtscope.backends.channel import Metadata
from rtscope.backends.channel.call import Call
from rtscope.backends.channel.connection import Connection
from rtscope.backends.channel.dial import dial
from rtscope.backends.channel.failure import Peer
from rtscope.backends.channel.hpack import encode_request
from rtscope.errors import BackendError, BackendUnavailableError

_CHUNK_BYTES = 256 << 10
_WAKE_S = 0.25
_AUTHORITY = "localhost"
_TIMEOUT_LIMIT_MS = 99_999_999
"""Source: gRPC over HTTP/2 (doc/PROTOCOL-HTTP2.md), TimeoutValue: at most eight digits."""


class LeanChannel:
    """A `Channel` on a socket of its own.

    A peer that has said nothing during a call that timed out is asked nothing more until it says
    something, and later calls wait for that: a stopped daemon's queue must not fill up with ours.
    """

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._peer = peer
        self._connection = Connection()
        # Reentrant: a forgotten stream may be finalised in the middle of anything.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._is_being_read = False
        self._is_mute = False

    @classmethod
    def connect(cls, address: str, timeout_s: float, peer: Peer) -> Self:
        """Dial; nothing is sent before the first call."""
        return cls(dial(address, timeout_s, peer), peer)

    @property
    def is_usable(self) -> bool:
        """Whether another call may succeed."""
        return self._connection.broken is None and self._connection.goodbye is None

    def unary(
        self, method: str, request: bytes, timeout_s: float, metadata: Metadata = ()
    ) -> bytes:
        """The answer to one request. See `Channel`."""
        with self._calling(method, request, timeout_s, metadata, is_unary=True) as (call, deadline):
            with self._lock:
                self._wait(lambda: call.is_over, deadline)
            error = call.error(self._peer)
            if error is not None:
                raise error
            if not call.messages:
                raise self._peer.malformed("no message in the answer")
            return call.messages[0]

    def stream(
        self, method: str, request: bytes, timeout_s: float | None, metadata: Metadata = ()
    ) -> Iterator[bytes]:
        """The answers to one request. See `Channel`."""
        with self._calling(method, request, timeout_s, metadata, is_unary=False) as (
            call,
            deadline,
        ):
            while True:
                with self._lock:
                    self._wait(lambda: bool(call.messages) or call.is_over, deadline)
                    message = self._connection.take(call)
                if message is None:
                    break
                yield message
            error = call.error(self._peer)
            if error is not None:
                raise error

    def close(self) -> None:
        """Let go of the connection; calls under way fail. Safe to call twice."""
        with self._lock:
            self._break(BackendUnavailableError, "the connection was closed by us")

    @contextmanager
    def _calling(
        self,
        method: str,
        request: bytes,
        timeout_s: float | None,
        metadata: Metadata,
        *,
        is_unary: bool,
    ) -> Iterator[tuple[Call, float]]:
        """An open call and its deadline; cancelled if it is left before it is over."""
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        block = encode_request(method, _AUTHORITY, _headers(timeout_s, metadata))
        call: Call | None = None
        received_bytes = 0
        try:
            with self._lock:
                self._await_turn(deadline)
                received_bytes = self._connection.received_bytes
                call = self._connection.open(block, request, is_unary)
                self._flush()
            yield call, deadline
        except TimeoutError as error:
            if call is not None and received_bytes == self._connection.received_bytes:
                self._mark_mute()
            raise self._peer.silent() from error
        finally:
            if call is not None:
                with self._lock:
                    self._connection.drop(call)
                    self._flush()
                    self._changed.notify_all()

    # With the lock held.

    def _await_turn(self, deadline: float) -> None:
        """Wait until the peer may be asked."""
        if not self._is_being_read:
            self._receive()
        self._wait(lambda: not self.is_usable or self._may_ask(), deadline)
        broken = self._connection.broken
        if broken is not None:
            raise self._peer.error(*broken)
        if self._connection.goodbye is not None:
            raise self._peer.gone(self._connection.goodbye)

    def _may_ask(self) -> bool:
        return not self._is_mute and self._connection.has_room

    def _wait(self, is_done: Callable[[], bool], deadline: float) -> None:
        """Return once `is_done`; read for everybody as long as nobody else does."""
        is_reader = False
        try:
            while not is_done():
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    raise TimeoutError
                if self._is_being_read:
                    self._changed.wait(min(remaining_s, threading.TIMEOUT_MAX))
                else:
                    is_reader = True
                    # Woken now and then: another thread may have left bytes to be written.
                    self._read_on(min(remaining_s, _WAKE_S))
        finally:
            if is_reader:
                self._changed.notify_all()

    def _read_on(self, timeout_s: float) -> None:
        """Wait for the socket with the lock released, then take in what came."""
        if self._is_broken():
            return
        poller = select.poll()
        poller.register(
            self._sock, select.POLLIN | (select.POLLOUT if self._connection.outgoing else 0)
        )
        self._is_being_read = True
        self._lock.release()
        try:
            poller.poll(max(1, int(timeout_s * 1000)))
        finally:
            self._lock.acquire()
            self._is_being_read = False
        if self._is_broken():
            self._sock.close()
        else:
            self._receive()
        self._changed.notify_all()

    def _is_broken(self) -> bool:
        return self._connection.broken is not None

    def _receive(self) -> None:
        """Take in what is there; never waits."""
        if self._is_broken():
            return
        try:
            data = self._sock.recv(_CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            self._flush()
            return
        except OSError:
            data = b""
        if data:
            self._is_mute = False
            self._connection.receive(data)
        else:
            self._connection.receive_end()
        if self._connection.broken is not None:
            self._break(*self._connection.broken)
        self._flush()

    def _flush(self) -> None:
        """Write what the socket takes; never waits."""
        outgoing = self._connection.outgoing
        while outgoing:
            try:
                sent = self._sock.send(outgoing)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # What the peer said before it hung up is still to be read, and says more.
                outgoing.clear()
                return
            del outgoing[:sent]

    def _break(self, kind: type[BackendError], why: str) -> None:
        self._connection.fail(kind, why)
        if self._is_being_read:
            # The reader sleeps on this descriptor: wake it, and let it do the closing.
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return
        else:
            self._sock.close()
        self._changed.notify_all()

    def _mark_mute(self) -> None:
        with self._lock:
            if self._connection.broken is None:
                self._is_mute = True
                self._connection.probe()


def _headers(timeout_s: float | None, metadata: Metadata) -> list[tuple[str, str]]:
    headers = [("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "rtscope")]
    if timeout_s is not None:
        # Rounded up: the daemon gives up after us, not before.
        milliseconds = min(int(timeout_s * 1000) + 1, _TIMEOUT_LIMIT_MS)
        headers.append(("grpc-timeout", f"{milliseconds}m"))
    return [*headers, *metadata]
