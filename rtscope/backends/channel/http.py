"""The seam for HTTP/1.1: one keep-alive connection, GET only, every read under a deadline.

http.client costs 34 ms to import and knows no deadline for a whole answer.
"""

import socket
import time
from typing import TYPE_CHECKING

from rtscope.backends.channel.dial import dial
from rtscope.backends.channel.failure import Peer
from rtscope.config.deadlines import Deadlines

if TYPE_CHECKING:
    from ssl import SSLContext

MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 64 << 20
_CHUNK_BYTES = 256 << 10
_START = b"HTTP/1."

# Source: RFC 9113, 4.1 and 6.5: what an HTTP/2 server says first is a SETTINGS frame of stream 0.
_SETTINGS_TYPE = 4

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers with names in lower case, body."""


class HttpConnection:
    """One connection to one server, opened by the first request and kept.

    An unanswered request keeps its connection, and the next `get` of the same path waits on it
    instead of asking again: a stopped daemon's queue must not fill up with our requests.

    Attributes:
        connect_ms: How long the last connection took; None before the first.
        first_answer_ms: From the first request of that connection to the head of its answer.
    """

    def __init__(
        self,
        address: str,
        *,
        backend: str,
        endpoint: str,
        deadlines: Deadlines,
        tls: "SSLContext | None" = None,
        tls_name: str | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            address: What to dial: a path, `unix://PATH` or `tcp://HOST:PORT`.
            backend: Named in errors.
            endpoint: Named in errors: the address as the user knows it.
            deadlines: The limit of connecting.
            tls: Of a `tcp://` server that speaks TLS.
            tls_name: The server's name, which its certificate has to bear.
        """
        self.connect_ms: float | None = None
        self.first_answer_ms: float | None = None
        self._address = address
        self._peer = Peer(backend, endpoint)
        self._deadlines = deadlines
        self._tls = tls
        self._tls_name = tls_name
        self._sock: socket.socket | None = None
        self._reader: _Reader | None = None
        self._pending: str | None = None
        self._sent_at = 0.0

    def get(self, path: str, timeout_s: float) -> Answer:
        """The answer to a GET, whatever its status.

        Raises:
            BackendError: or one of its kinds; nothing else.
        """
        try:
            return self._get(path, time.monotonic() + timeout_s)
        except TimeoutError as error:
            if self._pending is None:
                self.close()
            raise self._peer.silent() from error
        except _EndError as error:
            self.close()
            if error.is_midway:
                raise self._peer.malformed("closed the connection midway") from error
            raise self._peer.gone("closed the connection") from error
        except _MalformedError as error:
            self.close()
            raise self._peer.malformed(str(error)) from error
        except OSError as error:
            self.close()
            raise self._peer.gone((error.strerror or str(error)).lower()) from error

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._sock is not None:
            self._sock.close()
        self._sock = self._reader = self._pending = None

    def _get(self, path: str, deadline: float) -> Answer:
        if self._pending != path:
            if self._pending is not None:
                self.close()
            self._send(path, deadline)
        assert self._reader is not None
        status, headers = self._reader.head(deadline)
        self._pending = None
        if self.first_answer_ms is None:
            self.first_answer_ms = (time.monotonic() - self._sent_at) * 1000
        body = self._reader.body(status, headers, deadline)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, headers, body

    def _send(self, path: str, deadline: float) -> None:
        """Send a request; a kept connection that the server closed meanwhile is replaced."""
        if self._sock is not None and not _is_idle(self._sock):
            self.close()
        if self._sock is None:
            self._sock = self._connect()
            self._reader = _Reader(self._sock)
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: rtscope\r\n\r\n"
        self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
        self._sent_at = time.monotonic()
        self._sock.sendall(head.encode("ascii"))
        self._pending = path

    def _connect(self) -> socket.socket:
        started_at = time.monotonic()
        sock = dial(self._address, self._deadlines.connect_s, self._peer)
        if self._tls is not None:
            sock = self._secured(sock, self._tls)
        self.connect_ms = (time.monotonic() - started_at) * 1000
        self.first_answer_ms = None
        return sock

    def _secured(self, sock: socket.socket, context: "SSLContext") -> socket.socket:
        try:
            sock.settimeout(self._deadlines.first_answer_s)
            return context.wrap_socket(sock, server_hostname=self._tls_name)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise self._peer.malformed(f"TLS: {error}") from error
            raise


class _EndError(Exception):
    """The peer closed before its answer was complete."""

    def __init__(self, is_midway: bool) -> None:
        super().__init__()
        self.is_midway = is_midway


class _MalformedError(Exception):
    """What came is not HTTP, or is larger than we take."""


class _Reader:
    """Reads answers from a connected socket, each under a deadline of time.monotonic."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    def head(self, deadline: float) -> tuple[int, dict[str, str]]:
        """Status and headers; the body is not read yet. 1xx answers are skipped."""
        while True:
            while len(self._buffer) < len(_START):
                self._fill(deadline)
            self._check_start()
            lines = self._until(b"\r\n\r\n", deadline).decode("latin-1").split("\r\n")
            status = lines[0].partition(" ")[2][:3]
            if not (status.isascii() and status.isdigit()):
                raise _MalformedError("the answer is not HTTP")
            if not status.startswith("1"):
                break
        pairs = (line.partition(":") for line in lines[1:])
        return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}

    def body(self, status: int, headers: dict[str, str], deadline: float) -> bytes:
        """The body that belongs to the head read last."""
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks(deadline)
        if "content-length" in headers:
            return self._exactly(_size_from(headers["content-length"], 10), deadline)
        return self._rest(deadline)

    def _check_start(self) -> None:
        if self._buffer.startswith(_START):
            return
        if self._buffer[3] == _SETTINGS_TYPE and self._buffer[0] == 0:
            raise _MalformedError("the answer is HTTP/2 (gRPC), not HTTP/1.1")
        raise _MalformedError("the answer is not HTTP")

    def _fill(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)
        received = self._sock.recv(_CHUNK_BYTES)
        if not received:
            raise _EndError(is_midway=bool(self._buffer))
        self._buffer += received

    def _until(self, mark: bytes, deadline: float) -> bytes:
        searched = 0
        while (end := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise _MalformedError("the answer is not HTTP")
            searched = max(len(self._buffer) - len(mark), 0)
            self._fill(deadline)
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return taken

    def _exactly(self, size: int, deadline: float) -> bytes:
        while len(self._buffer) < size:
            try:
                self._fill(deadline)
            except _EndError as error:
                raise _EndError(is_midway=True) from error
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _chunks(self, deadline: float) -> bytes:
        body = bytearray()
        while size := _size_from(self._line(deadline).partition(";")[0], 16):
            if len(body) + size > MAX_BODY_BYTES:
                raise _MalformedError(_TOO_LARGE)
            body += self._exactly(size, deadline)
            if self._exactly(2, deadline) != b"\r\n":
                raise _MalformedError("a chunk of the answer has no end")
        while self._line(deadline):
            pass
        return bytes(body)

    def _line(self, deadline: float) -> str:
        try:
            return self._until(b"\r\n", deadline).decode("latin-1")
        except _EndError as error:
            raise _EndError(is_midway=True) from error

    def _rest(self, deadline: float) -> bytes:
        while True:
            if len(self._buffer) > MAX_BODY_BYTES:
                raise _MalformedError(_TOO_LARGE)
            try:
                self._fill(deadline)
            except _EndError:
                break
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken


_TOO_LARGE = f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB"


def _size_from(text: str, base: int) -> int:
    text = text.strip()
    # int() takes signs, underscores and other scripts' digits.
    if not text or not text.isascii() or not text.isalnum():
        raise _MalformedError("the answer has no valid length")
    try:
        size = int(text, base)
    except ValueError as error:
        raise _MalformedError("the answer has no valid length") from error
    if size > MAX_BODY_BYTES:
        raise _MalformedError(_TOO_LARGE)
    return size


def _is_idle(sock: socket.socket) -> bool:
    """Whether a kept connection can still be used: nothing to read, not even its end."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    except OSError as error:
        # An idle TLS connection says SSLWantReadError, which has no class without importing ssl.
        return type(error).__name__ == "SSLWantReadError"
    return False
