"""HTTP/2's frames as bytes: what a client writes, and a reader of what a server sends.

Source: RFC 9113, sections 4 and 6.
"""

import struct
from typing import NamedTuple

DATA = 0
HEADERS = 1
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20

HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5

CANCEL = 8
REFUSED_STREAM = 7

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65535
LARGEST_WINDOW = (1 << 31) - 1
FRAME_LIMIT = 16384
"""Longest payload, as we announce no other."""

_HEAD = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")


class FrameError(ValueError):
    """The bytes are not HTTP/2, or break its rules."""


class Frame(NamedTuple):
    """One frame."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


def encode(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame as it goes over the wire."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def encode_settings(settings: dict[int, int]) -> bytes:
    """A SETTINGS frame; an empty one only asks for its acknowledgement."""
    return encode(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in settings.items()))


def encode_window_update(stream_id: int, increment: int) -> bytes:
    """Allow the peer that many more bytes."""
    return encode(WINDOW_UPDATE, 0, stream_id, _NUMBER.pack(increment))


def encode_reset(stream_id: int, code: int) -> bytes:
    """Give a call up."""
    return encode(RST_STREAM, 0, stream_id, _NUMBER.pack(code))


class FrameReader:
    """Cuts what a server sends into frames; holds one incomplete frame at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_greeted = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in; the frames that they complete.

        Raises:
            FrameError: It is no HTTP/2 server, or a frame is longer than allowed.
        """
        buffer = self._buffer
        buffer += data
        if not self._is_greeted:
            self._greet()
        frames: list[Frame] = []
        position = 0
        while len(buffer) - position >= _HEAD.size:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(buffer, position)
            length = high << 8 | low
            if length > FRAME_LIMIT:
                raise FrameError(f"frame of {length} bytes, {FRAME_LIMIT} are allowed")
            end = position + _HEAD.size + length
            if len(buffer) < end:
                break
            payload = bytes(memoryview(buffer)[position + _HEAD.size : end])
            frames.append(Frame(kind, flags, stream_id & LARGEST_WINDOW, payload))
            position = end
        del buffer[:position]
        return frames

    def _greet(self) -> None:
        """A server's first frame is SETTINGS: told by the fourth byte, before a frame is whole."""
        if len(self._buffer) < 4:
            return
        if self._buffer.startswith(b"HTTP"):
            raise FrameError("an HTTP/1 server answers where gRPC is expected")
        if self._buffer[3] != SETTINGS:
            raise FrameError("the answer is not HTTP/2")
        self._is_greeted = True


def unpadded(frame: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and priority."""
    start, end = 0, len(frame.payload)
    if frame.flags & PADDED:
        if not end:
            raise FrameError("padding without a length")
        start, end = 1, end - frame.payload[0]
    if frame.kind == HEADERS and frame.flags & PRIORITY:
        start += 5
    if start > end:
        raise FrameError("more padding than frame")
    return frame.payload[start:end]


def settings_in(frame: Frame) -> list[tuple[int, int]]:
    """The (identifier, value) pairs of a SETTINGS frame."""
    if len(frame.payload) % _SETTING.size:
        raise FrameError("a SETTINGS frame ends midway")
    return list(_SETTING.iter_unpack(frame.payload))


def number_in(frame: Frame, position: int = 0) -> int:
    """A 32-bit number of a frame's payload."""
    if len(frame.payload) < position + _NUMBER.size:
        raise FrameError("a frame ends midway")
    number: int = _NUMBER.unpack_from(frame.payload, position)[0]
    return number
