"""A client's side of one HTTP/2 connection: bytes in, bytes out, no socket, no clock, no lock.

Source: RFC 9113. What gRPC servers do not use (push, priorities, tunnels) is left out.
"""

from collections.abc import Callable

from rtscope.backends.channel import frames
from rtscope.backends.channel.call import ANSWER_LIMIT, PREFIX_BYTES, Call
from rtscope.backends.channel.frames import Frame, FrameError, FrameReader
from rtscope.backends.channel.hpack import BLOCK_LIMIT, Decoder, HpackError
from rtscope.errors import BackendError, BackendUnavailableError

CALL_WINDOW = ANSWER_LIMIT + (64 << 10)
"""One whole answer fits without waiting for us."""
CONNECTION_WINDOW = 2 * ANSWER_LIMIT
"""All that is received and not yet taken by a caller: the bound of our memory."""

_CREDIT_BYTES = 1 << 20
_OUTGOING_LIMIT = 1 << 20
_GREETING = (
    frames.PREFACE
    + frames.encode_settings({frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW_SIZE: CALL_WINDOW})
    + frames.encode_window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW)
)


class Connection:
    """The state of the connection and of the calls on it.

    Attributes:
        outgoing: What is to be written to the socket; the owner removes what was.
        calls: Open calls by stream number.
        received_bytes: All that ever came in.
        broken: Why nothing works any more: the kind of error and its text.
        goodbye: Why the peer takes no new calls.
    """

    def __init__(self) -> None:
        self.outgoing = bytearray(_GREETING)
        self.calls: dict[int, Call] = {}
        self.received_bytes = 0
        self.broken: tuple[type[BackendError], str] | None = None
        self.goodbye: str | None = None
        self._reader = FrameReader()
        self._decoder = Decoder()
        self._block: tuple[Frame, bytearray] | None = None
        self._next_stream_id = 1
        self._held_bytes = 0
        self._credit_bytes = 0
        self._send_window = frames.DEFAULT_WINDOW
        self._call_window = frames.DEFAULT_WINDOW
        self._frame_limit = frames.FRAME_LIMIT
        self._call_limit = frames.LARGEST_WINDOW
        self._takers: dict[int, Callable[[Frame], None]] = {
            frames.DATA: self._take_data,
            frames.HEADERS: self._take_headers,
            frames.CONTINUATION: self._take_headers,
            frames.RST_STREAM: self._take_reset,
            frames.SETTINGS: self._take_settings,
            frames.PUSH_PROMISE: self._take_push,
            frames.PING: self._take_ping,
            frames.GOAWAY: self._take_goodbye,
            frames.WINDOW_UPDATE: self._take_window_update,
        }

    @property
    def has_room(self) -> bool:
        """Whether the peer takes one more call beside those that are open."""
        return len(self.calls) < self._call_limit

    def open(self, block: bytes, request: bytes, is_unary: bool) -> Call:
        """Start a call: its headers and as much of the request as the peer's window takes."""
        call = Call(self._next_stream_id, request, self._call_window, is_unary)
        self._next_stream_id += 2
        if self._next_stream_id > frames.LARGEST_WINDOW:
            self.goodbye = "every number that a call can have was used"
        self.calls[call.stream_id] = call
        kind, flags = frames.HEADERS, 0
        for start in range(0, len(block), frames.FRAME_LIMIT):
            part = block[start : start + frames.FRAME_LIMIT]
            if start + frames.FRAME_LIMIT >= len(block):
                flags = frames.END_HEADERS
            self.outgoing += frames.encode(kind, flags, call.stream_id, part)
            kind = frames.CONTINUATION
        self._send(call)
        return call

    def take(self, call: Call) -> bytes | None:
        """The next message of a call, credited to the peer's windows; None if there is none."""
        if not call.messages:
            return None
        message = call.messages.popleft()
        self._credit(call, min(len(message) + PREFIX_BYTES, call.held_bytes))
        return message

    def drop(self, call: Call) -> None:
        """Forget a call; one that is not over is cancelled."""
        if self.calls.pop(call.stream_id, None) is None:
            return
        if not call.is_over:
            call.fail(BackendUnavailableError, "the call was cancelled")
            self.outgoing += frames.encode_reset(call.stream_id, frames.CANCEL)
        self._credit(call, call.held_bytes)

    def probe(self) -> None:
        """Ask for a sign of life: the peer has to acknowledge settings, even empty ones.

        Not PING: gRPC's servers hang up on clients that ping often.
        """
        self.outgoing += frames.encode_settings({})

    def fail(self, kind: type[BackendError], why: str) -> None:
        """End everything."""
        if self.broken is None:
            self.broken = (kind, why)
        self.outgoing.clear()
        for call in tuple(self.calls.values()):
            call.fail(kind, why)

    def receive_end(self) -> None:
        """The peer closed the connection."""
        for call in tuple(self.calls.values()):
            call.fail_at_end_of_stream()
        why = self.goodbye or "the connection was closed by the daemon"
        self.fail(BackendUnavailableError, why)

    def receive(self, data: bytes) -> None:
        """Take in what the peer sent. What breaks the rules breaks the connection."""
        self.received_bytes += len(data)
        try:
            for frame in self._reader.feed(data):
                self._take_frame(frame)
        except (FrameError, HpackError) as error:
            self.fail(BackendError, f"{error}")
        if len(self.outgoing) > _OUTGOING_LIMIT + self._request_bytes():
            self.fail(BackendError, "the daemon sends without reading")

    def _request_bytes(self) -> int:
        return sum(call.request_bytes for call in self.calls.values())

    def _take_frame(self, frame: Frame) -> None:
        if self._block is not None and frame.kind != frames.CONTINUATION:
            raise FrameError("headers without their continuation")
        take = self._takers.get(frame.kind)
        if take is not None:
            take(frame)

    def _take_ping(self, frame: Frame) -> None:
        if not frame.flags & frames.ACK:
            self.outgoing += frames.encode(frames.PING, frames.ACK, 0, frame.payload[:8])

    def _take_push(self, _frame: Frame) -> None:
        raise FrameError("a push, which was not allowed")

    def _take_data(self, frame: Frame) -> None:
        size = len(frame.payload)
        self._held_bytes += size
        if self._held_bytes > CONNECTION_WINDOW:
            raise FrameError("the daemon sends more than it is allowed to")
        call = self.calls.get(frame.stream_id)
        if call is None:
            self._credit(None, size)
            return
        data = frames.unpadded(frame)
        call.held_bytes += size
        was_over = call.is_over
        call.take_data(data, bool(frame.flags & frames.END_STREAM))
        if call.is_over and not was_over and not frame.flags & frames.END_STREAM:
            self.outgoing += frames.encode_reset(call.stream_id, frames.CANCEL)

    def _take_headers(self, frame: Frame) -> None:
        if frame.kind == frames.HEADERS:
            first, block = frame, bytearray(frames.unpadded(frame))
        elif self._block is None or self._block[0].stream_id != frame.stream_id:
            raise FrameError("a continuation of no headers")
        else:
            first, block = self._block
            block += frame.payload
        if len(block) > BLOCK_LIMIT:
            raise FrameError(f"headers longer than {BLOCK_LIMIT} bytes")
        if not frame.flags & frames.END_HEADERS:
            self._block = (first, block)
            return
        self._block = None
        # Decoded even if nobody waits for them: they change the table for those that follow.
        headers = self._decoder.decode(bytes(block))
        call = self.calls.get(frame.stream_id)
        if call is not None and not call.is_over:
            call.take_headers(headers, bool(first.flags & frames.END_STREAM))

    def _take_settings(self, frame: Frame) -> None:
        if frame.flags & frames.ACK:
            return
        for identifier, value in frames.settings_in(frame):
            if identifier == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise FrameError("a window larger than HTTP/2 allows")
                for call in tuple(self.calls.values()):
                    call.send_window += value - self._call_window
                self._call_window = value
            elif identifier == frames.MAX_FRAME_SIZE:
                self._frame_limit = max(frames.FRAME_LIMIT, value)
            elif identifier == frames.MAX_CONCURRENT_STREAMS:
                self._call_limit = value
        self.outgoing += frames.encode(frames.SETTINGS, frames.ACK, 0)
        self._send_all()

    def _take_window_update(self, frame: Frame) -> None:
        increment = frames.number_in(frame) & frames.LARGEST_WINDOW
        call = self.calls.get(frame.stream_id)
        if frame.stream_id == 0:
            self._send_window += increment
        elif call is not None:
            call.send_window += increment
        self._send_all()

    def _take_reset(self, frame: Frame) -> None:
        code = frames.number_in(frame)
        call = self.calls.get(frame.stream_id)
        if call is None:
            return
        if code == frames.REFUSED_STREAM:
            call.fail(BackendUnavailableError, "the daemon takes no more calls")
        else:
            call.fail(BackendError, f"the daemon reset the call (HTTP/2 error {code})")

    def _take_goodbye(self, frame: Frame) -> None:
        last, code = frames.number_in(frame) & frames.LARGEST_WINDOW, frames.number_in(frame, 4)
        text = frame.payload[8:200].decode("utf-8", "replace")
        detail = f" (HTTP/2 error {code}{': ' + text if text else ''})" if code else ""
        self.goodbye = f"the daemon closes the connection{detail}"
        for call in tuple(self.calls.values()):
            if call.stream_id > last:
                call.fail(BackendUnavailableError, self.goodbye)

    def _send_all(self) -> None:
        for call in tuple(self.calls.values()):
            if call.unsent:
                self._send(call)

    def _send(self, call: Call) -> None:
        """Write as much of a request as both windows take; its end closes our side."""
        while call.unsent and not call.is_over:
            size = min(len(call.unsent), call.send_window, self._send_window, self._frame_limit)
            if size <= 0:
                return
            part, call.unsent = call.unsent[:size], call.unsent[size:]
            call.send_window -= size
            self._send_window -= size
            flags = 0 if call.unsent else frames.END_STREAM
            self.outgoing += frames.encode(frames.DATA, flags, call.stream_id, part)

    def _credit(self, call: Call | None, size: int) -> None:
        """Give the peer room for as much as was taken; in large steps."""
        self._held_bytes -= size
        self._credit_bytes += size
        if self._credit_bytes >= _CREDIT_BYTES and self.broken is None:
            self.outgoing += frames.encode_window_update(0, self._credit_bytes)
            self._credit_bytes = 0
        if call is None:
            return
        call.held_bytes -= size
        call.credit_bytes += size
        if call.credit_bytes >= _CREDIT_BYTES and not call.is_over:
            self.outgoing += frames.encode_window_update(call.stream_id, call.credit_bytes)
            call.credit_bytes = 0
