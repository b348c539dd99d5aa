"""A client for ttrpc, which shims speak: protobuf in frames with a header of ten bytes.

Source: containerd/ttrpc, PROTOCOL.md, version 1.2.
"""

import socket
import struct
import time
from typing import NamedTuple, Self

from rtscope.backends.channel.dial import dial
from rtscope.backends.channel.failure import OK, Peer
from rtscope.errors import BackendError

MESSAGE_LIMIT = 4 << 20
"""Longest message of either side. Source: containerd/ttrpc, channel.go, messageLengthMax."""

REQUEST = 1
RESPONSE = 2

_HEADER = struct.Struct(">IIBB")
_CHUNK_BYTES = 64 << 10
_STREAM_ID_LIMIT = 1 << 31


class FrameError(ValueError):
    """The bytes are not ttrpc."""


class Frame(NamedTuple):
    """One message on the wire: the number of its call, what it is, and its protobuf."""

    stream_id: int
    kind: int
    flags: int
    payload: bytes


def encode_frame(frame: Frame) -> bytes:
    """The frame as it goes over the wire."""
    if len(frame.payload) > MESSAGE_LIMIT:
        raise FrameError(f"message of {len(frame.payload)} bytes, {MESSAGE_LIMIT} are allowed")
    header = _HEADER.pack(len(frame.payload), frame.stream_id, frame.kind, frame.flags)
    return header + frame.payload


class FrameReader:
    """Cuts a stream of bytes into frames; holds one incomplete message at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_midway(self) -> bool:
        """Whether a part of a frame has arrived."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in; the frames that they complete.

        Raises:
            FrameError: A header announces more than a message may have.
        """
        self._buffer += data
        frames: list[Frame] = []
        while len(self._buffer) >= _HEADER.size:
            length, stream_id, kind, flags = _HEADER.unpack_from(self._buffer)
            if length > MESSAGE_LIMIT:
                raise FrameError(f"message of {length} bytes, {MESSAGE_LIMIT} are allowed")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            frames.append(Frame(stream_id, kind, flags, payload))
        return frames


def encode_request(
    stream_id: int, service: str, method: str, payload: bytes, timeout_s: float
) -> bytes:
    """A call as it goes over the wire; a client's stream ids are odd."""
    from rtscope._pb import ttrpc_pb2

    request = ttrpc_pb2.Request(
        service=service, method=method, payload=payload, timeout_nano=int(timeout_s * 1e9)
    )
    return encode_frame(Frame(stream_id, REQUEST, 0, request.SerializeToString()))


def decode_response(frame: Frame, peer: Peer) -> bytes:
    """The payload that a shim answered with.

    Raises:
        FrameError: The frame is no response, or its message is not protobuf.
        RpcError: The shim answered with an error of its own; or another kind of BackendError.
    """
    from google.protobuf.message import DecodeError

    from rtscope._pb import ttrpc_pb2

    if frame.kind != RESPONSE:
        raise FrameError(f"frame of type {frame.kind} where a response is expected")
    try:
        response = ttrpc_pb2.Response.FromString(frame.payload)
    except DecodeError as error:
        raise FrameError("the response is not protobuf") from error
    if response.status.code != OK:
        raise peer.status(response.status.code, response.status.message)
    return bytes(response.payload)


class TtrpcClient:
    """One connection to one shim; one call at a time.

    A call that got no answer in time leaves the connection usable: its late answer is skipped.
    """

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        self._sock = sock
        self._peer = peer
        self._reader = FrameReader()
        self._stream_id = -1
        self._failure: BackendError | None = None

    @classmethod
    def connect(cls, address: str, timeout_s: float, *, backend: str, endpoint: str) -> Self:
        """Dial a shim's socket: a path, or an abstract name (`@NAME`, `unix://…`).

        Raises:
            BackendError: or one of its kinds; nothing else.
        """
        peer = Peer(backend, endpoint)
        sock = dial(address, timeout_s, peer)
        try:
            return cls(sock, peer)
        except BaseException:
            sock.close()
            raise

    def call(self, service: str, method: str, payload: bytes, timeout_s: float) -> bytes:
        """The answer's payload.

        Raises:
            RpcError: The shim answered with an error of its own; `code` says which.
            BackendError: or another of its kinds: no answer, or none that can be read.
        """
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + timeout_s
        try:
            self._send(service, method, payload, timeout_s)
            return self._answer(deadline)
        except TimeoutError as error:
            raise self._peer.silent() from error
        except FrameError as error:
            raise self._failed(self._peer.malformed(f"not ttrpc: {error}")) from error
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise self._failed(self._peer.gone(why)) from error

    def close(self) -> None:
        """Let go of the connection. Safe to call twice."""
        self._sock.close()
        if self._failure is None:
            self._failure = self._peer.gone("the connection was closed by us")

    def _failed(self, failure: BackendError) -> BackendError:
        """Remember what broke the connection: it cannot be used again."""
        self._failure = failure
        self._sock.close()
        return failure

    def _send(self, service: str, method: str, payload: bytes, timeout_s: float) -> None:
        self._stream_id = (self._stream_id + 2) % _STREAM_ID_LIMIT
        data = encode_request(self._stream_id, service, method, payload, timeout_s)
        self._sock.settimeout(max(timeout_s, 0.001))
        try:
            self._sock.sendall(data)
        except TimeoutError as error:
            # A part of the frame may be on its way: nothing can follow it.
            raise self._failed(self._peer.silent("takes no request")) from error

    def _answer(self, deadline: float) -> bytes:
        while True:
            for frame in self._frames(deadline):
                if frame.stream_id == self._stream_id:
                    return decode_response(frame, self._peer)

    def _frames(self, deadline: float) -> list[Frame]:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)
        data = self._sock.recv(_CHUNK_BYTES)
        if not data:
            why = "closed the connection midway" if self._reader.is_midway else "hung up"
            raise self._failed(self._peer.gone(why))
        return self._reader.feed(data)
