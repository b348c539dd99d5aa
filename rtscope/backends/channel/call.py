"""One gRPC call as its answer comes in: headers, messages, trailers.

Source: gRPC over HTTP/2 (grpc/grpc, doc/PROTOCOL-HTTP2.md), and doc/http-grpc-status-mapping.md.
"""

from collections import deque

from rtscope.backends.channel.failure import OK, Peer
from rtscope.backends.channel.hpack import Header
from rtscope.errors import BackendError, BackendUnavailableError

ANSWER_LIMIT = 32 << 20
"""Longest message that is taken in; containerd and the CRI's servers send 16 MiB at most.

Source: containerd, defaults/defaults.go, DefaultMaxSendMsgSize.
"""

PREFIX_BYTES = 5

_HTTP_OK = b"200"
_HTTP_DENIED = (b"401", b"403")


class Call:
    """The state of one call; knows no socket.

    Attributes:
        messages: What arrived and was not taken yet.
        request_bytes: The whole request with its prefix.
        unsent: What of the request still waits for the peer's window.
        send_window: Bytes that the peer still takes; may be negative.
        held_bytes: Received and not yet credited to the peer's window.
        credit_bytes: Taken by the caller and not yet told to the peer.
        is_over: Nothing more will come; `error` says how it ended.
    """

    __slots__ = (
        "_buffer",
        "_failure",
        "_is_answered",
        "_is_unary",
        "_message",
        "_status",
        "credit_bytes",
        "held_bytes",
        "is_over",
        "messages",
        "request_bytes",
        "send_window",
        "stream_id",
        "unsent",
    )

    def __init__(self, stream_id: int, request: bytes, send_window: int, is_unary: bool) -> None:
        self.stream_id = stream_id
        self.messages: deque[bytes] = deque()
        self.unsent = b"\0" + len(request).to_bytes(4, "big") + request
        self.request_bytes = len(self.unsent)
        self.send_window = send_window
        self.held_bytes = self.credit_bytes = 0
        self.is_over = False
        self._buffer = bytearray()
        self._failure: tuple[type[BackendError], str] | None = None
        self._is_answered = False
        self._is_unary = is_unary
        self._status: int | None = None
        self._message = ""

    def take_headers(self, headers: list[Header], is_last: bool) -> None:
        """Headers of the answer, or its trailers."""
        fields = dict(headers)
        if not self._is_answered:
            status = fields.get(b":status", b"")
            if status.startswith(b"1") and not is_last:
                return
            self._is_answered = True
            self._check_head(status, fields.get(b"content-type", b""))
        if is_last:
            self._take_status(fields)
            self.end()

    def take_data(self, data: bytes, is_last: bool) -> None:
        """A part of the messages."""
        if self.is_over:
            return
        if not self._is_answered:
            self.fail(BackendError, "data before the headers of the answer")
            return
        self._buffer += data
        while self._cut_message():
            pass
        if is_last:
            self.end()

    def _cut_message(self) -> bool:
        """Move one complete message out of the buffer."""
        if len(self._buffer) < PREFIX_BYTES:
            return False
        length = int.from_bytes(self._buffer[1:PREFIX_BYTES], "big")
        end = PREFIX_BYTES + length
        if self._buffer[0]:
            self.fail(BackendError, "a compressed answer, which was not asked for")
        elif length > ANSWER_LIMIT:
            self.fail(BackendError, f"answer larger than {ANSWER_LIMIT >> 20} MiB")
        elif self._is_unary and self.messages:
            self.fail(BackendError, "several answers to one request")
        elif len(self._buffer) >= end:
            self.messages.append(bytes(memoryview(self._buffer)[PREFIX_BYTES:end]))
            del self._buffer[:end]
            return True
        return False

    def end(self) -> None:
        """The peer will send nothing more."""
        if self.is_over:
            return
        self.is_over = True
        if self._status is None:
            self._failure = (BackendError, "the answer ends without a status")
        elif self._buffer:
            self._failure = (BackendError, "the answer ends midway")
        self._buffer = bytearray()

    def fail(self, kind: type[BackendError], why: str) -> None:
        """End the call for a reason other than the daemon's own status."""
        if not self.is_over:
            self.is_over = True
            self._failure = (kind, why)
            self._buffer = bytearray()

    def fail_at_end_of_stream(self) -> None:
        """The connection ended before the call did."""
        if self._is_answered:
            self.fail(BackendError, "the connection was closed midway")
        else:
            self.fail(BackendUnavailableError, "the connection was closed without an answer")

    def error(self, peer: Peer) -> BackendError | None:
        """What went wrong with a call that is over; None if nothing did."""
        if self._failure is not None:
            return peer.error(*self._failure)
        if self._status is not None and self._status != OK:
            return peer.status(self._status, self._message)
        return None

    def _check_head(self, status: bytes, content_type: bytes) -> None:
        if status in _HTTP_DENIED:
            self._status, self._message = 7, f"HTTP {status.decode()}"
            self.end()
        elif status != _HTTP_OK:
            shown = status[:20].decode("ascii", "replace")
            self.fail(BackendError, f"HTTP status {shown} where gRPC is expected")
        elif not content_type.startswith(b"application/grpc"):
            self.fail(BackendError, "an HTTP/2 server without gRPC answers")

    def _take_status(self, fields: dict[bytes, bytes]) -> None:
        value = fields.get(b"grpc-status")
        if value is None:
            return
        if not value.isdigit() or len(value) > 9:
            self.fail(BackendError, "the answer's status is no number")
            return
        self._status = int(value)
        self._message = percent_decoded(fields.get(b"grpc-message", b""))


def percent_decoded(value: bytes) -> str:
    """A grpc-message as text; what is not well-formed stays as it came."""
    first, *parts = value.split(b"%")
    text = bytearray(first)
    for part in parts:
        digits = part[:2]
        if len(digits) == 2 and not digits.translate(None, b"0123456789abcdefABCDEF"):
            text.append(int(digits, 16))
            text += part[2:]
        else:
            text += b"%" + part
    return text.decode("utf-8", "replace")
