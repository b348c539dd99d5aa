"""Just enough HTTP/1.1 to read from dockerd: one keep-alive connection, GET only.

http.client costs 34 ms to import and knows no deadline for a whole answer; here every read counts
against one, and every size has a bound.
"""

import socket
import time
from collections.abc import Mapping

from rtscope.model.facts import fact, field

MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 64 << 20
_CHUNK_BYTES = 256 << 10


class EndOfAnswerError(Exception):
    """The peer closed before its answer was complete.

    Attributes:
        is_midway: Part of the answer had come.
    """

    def __init__(self, is_midway: bool) -> None:
        super().__init__("closed the connection midway" if is_midway else "closed the connection")
        self.is_midway = is_midway


class AnswerError(Exception):
    """What came is not HTTP, or is larger than we take."""


@fact
class Answer:
    """An HTTP response.

    Attributes:
        headers: Names in lower case.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_last(self) -> bool:
        """Whether the server closes the connection after it."""
        return self.headers.get("connection", "").lower() == "close"


def request(path: str, host: str) -> bytes:
    """A GET request."""
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rtscope\r\nAccept: */*\r\n\r\n"
    return head.encode("ascii")


class AnswerReader:
    """Reads answers from a connected socket, each part under a deadline of time.monotonic."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    def head(self, deadline: float) -> Answer:
        """Status and headers; the body is not read yet."""
        lines = self._until(b"\r\n\r\n", MAX_HEAD_BYTES, deadline).decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
            raise AnswerError("the answer is not HTTP")
        pairs = (line.partition(":") for line in lines[1:])
        return Answer(
            status=int(status), headers={name.strip().lower(): v.strip() for name, _, v in pairs}
        )

    def body(self, head: Answer, deadline: float) -> bytes:
        """The body that belongs to the head read last."""
        if head.status in (204, 304):
            return b""
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks(deadline)
        if "content-length" in head.headers:
            return self._exactly(_size_from(head.headers["content-length"], 10), deadline)
        return self._rest(deadline)

    def _fill(self, deadline: float) -> None:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining_s)
        received = self._sock.recv(_CHUNK_BYTES)
        if not received:
            raise EndOfAnswerError(is_midway=bool(self._buffer))
        self._buffer += received

    def _until(self, mark: bytes, limit: int, deadline: float) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > limit:
                raise AnswerError("the answer is not HTTP")
            self._fill(deadline)
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return taken

    def _exactly(self, size: int, deadline: float) -> bytes:
        while len(self._buffer) < size:
            try:
                self._fill(deadline)
            except EndOfAnswerError as error:
                raise EndOfAnswerError(is_midway=True) from error
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _chunks(self, deadline: float) -> bytes:
        body = bytearray()
        while size := self._chunk_size(deadline):
            if len(body) + size > MAX_BODY_BYTES:
                raise AnswerError(_TOO_LARGE)
            body += self._exactly(size + 2, deadline)
            if not body.endswith(b"\r\n"):
                raise AnswerError("a chunk of the answer has no end")
            del body[-2:]
        while self._line(deadline):
            pass
        return bytes(body)

    def _chunk_size(self, deadline: float) -> int:
        return _size_from(self._line(deadline).partition(b";")[0].decode("latin-1"), 16)

    def _line(self, deadline: float) -> bytes:
        try:
            return self._until(b"\r\n", MAX_HEAD_BYTES, deadline)
        except EndOfAnswerError as error:
            raise EndOfAnswerError(is_midway=True) from error

    def _rest(self, deadline: float) -> bytes:
        while True:
            if len(self._buffer) > MAX_BODY_BYTES:
                raise AnswerError(_TOO_LARGE)
            try:
                self._fill(deadline)
            except EndOfAnswerError:
                break
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken


_TOO_LARGE = f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB"


def _size_from(text: str, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError as error:
        raise AnswerError("the answer has no valid length") from error
    if size < 0:
        raise AnswerError("the answer has no valid length")
    if size > MAX_BODY_BYTES:
        raise AnswerError(_TOO_LARGE)
    return size
