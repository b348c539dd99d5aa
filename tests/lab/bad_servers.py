"""Servers that do everything wrong, each behind a unix socket and with threads of its own."""

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from types import TracebackType
from typing import Any, Self

import grpc

GIGABYTE = 1 << 30
_CHUNK = bytes(1 << 20)
_HTTP = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\n"
_SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


class Raw:
    """A listener whose answer is one function; counts who came and who is still there."""

    def __init__(self, path: str, answer: Callable[[socket.socket], None]) -> None:
        self.path = path
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._is_ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self.accepted = 0
        self.most_open = 0

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_ending.set()
        for thread in self._threads:
            thread.join(30)
        self._listener.close()
        os.unlink(self.path)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._is_ending.is_set():
            with contextlib.suppress(TimeoutError):
                caller, _ = self._listener.accept()
                with self._lock:
                    self.accepted += 1
                    self._open.add(caller.fileno())
                    self.most_open = max(self.most_open, len(self._open))
                self._start(self._serve, caller)

    def _serve(self, caller: socket.socket) -> None:
        number = caller.fileno()
        with caller, contextlib.suppress(OSError):
            caller.settimeout(20)
            self._answer(caller)
            self._wait_for_end(caller)
        with self._lock:
            self._open.discard(number)

    def _wait_for_end(self, caller: socket.socket) -> None:
        """Until the caller hangs up, or the test is over; what it sends is thrown away."""
        with selectors.DefaultSelector() as selector:
            selector.register(caller, selectors.EVENT_READ)
            while not self._is_ending.is_set():
                if selector.select(0.1) and not caller.recv(65536):
                    return


def _finish(caller: socket.socket) -> None:
    caller.shutdown(socket.SHUT_RDWR)


def _garbage(caller: socket.socket) -> None:
    caller.recv(65536)
    caller.sendall(bytes(range(256)) * 256)
    _finish(caller)


def _hang_up(caller: socket.socket) -> None:
    caller.recv(65536)
    _finish(caller)


def _midway(caller: socket.socket) -> None:
    """Promises a document and breaks off in it; to an HTTP/2 client, a frame without its end."""
    if caller.recv(65536).startswith(b"PRI "):
        caller.sendall(_SETTINGS_FRAME + b"\x00\x00\x40\x01\x04\x00\x00\x00\x01\x88")
    else:
        caller.sendall(_HTTP + b'Content-Length: 5000\r\n\r\n[{"Id": "abc')
    _finish(caller)


def _endless(caller: socket.socket) -> None:
    """A gigabyte of white space, which JSON allows, as fast as it is taken."""
    caller.recv(65536)
    head = _HTTP + f"Content-Length: {GIGABYTE}\r\n\r\n".encode()
    caller.sendall(head)
    for _ in range(GIGABYTE // len(_CHUNK)):
        caller.sendall(_CHUNK.replace(b"\0", b" "))


def _silent(caller: socket.socket) -> None:
    """Accepts and never answers."""


def _http1(caller: socket.socket) -> None:
    caller.recv(65536)
    caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    _finish(caller)


def _json(body: bytes) -> Callable[[socket.socket], None]:
    def answer(caller: socket.socket) -> None:
        while caller.recv(65536):
            caller.sendall(_HTTP + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    return answer


RAW: dict[str, Callable[[socket.socket], None]] = {
    "garbage": _garbage,
    "hang-up": _hang_up,
    "midway": _midway,
    "gigabyte": _endless,
    "silent": _silent,
    "http1": _http1,
    "cut-json": _json(b'[{"Id": "abc", "Names": ['),
    "other-json": _json(b'{"Id": [1, 2, {"a": null}], "Containers": 7, "Labels": "x"}'),
    "list-of-nonsense": _json(b'[1, null, "x", {"Id": 5, "Names": 7, "Labels": [1]}]'),
    "deep-json": _json(b"[" * 200_000),
    "no-utf8": _json(b'[{"Id": "\xff\xfe"}]'),
}

EMPTY = _json(b"[]")
"""A docker that has nothing: the good one among the bad."""


class _AnyMethod(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types for it
    """Answers every method alike, whatever it is."""

    def __init__(self, answers: Callable[[], Iterator[bytes]]) -> None:
        self._answers = answers

    def service(self, details: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(lambda request, context: self._answers())


def _invalid() -> Iterator[bytes]:
    yield b"\xff" * 64


def _huge() -> Iterator[bytes]:
    """Messages of a megabyte, a thousand of them: a record each with a label of that size."""
    # containers.v1, ListContainerMessage: field 1 a Container, its field 1 the id.
    inner = b"\x0a" + _varint(len(_CHUNK)) + _CHUNK.replace(b"\0", b"a")
    message = b"\x0a" + _varint(len(inner)) + inner
    for _ in range(GIGABYTE // len(_CHUNK)):
        yield message


def _one_huge() -> Iterator[bytes]:
    yield bytes(100 << 20)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


GRPC: dict[str, Callable[[], Iterator[bytes]]] = {
    "invalid-protobuf": _invalid,
    "gigabyte-of-messages": _huge,
    "huge-message": _one_huge,
}


@contextlib.contextmanager
def grpc_server(path: str, behaviour: str) -> Iterator[None]:
    """A real gRPC server whose answers nobody can use."""
    options = [("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    server.add_generic_rpc_handlers((_AnyMethod(GRPC[behaviour]),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(0).wait(10)
        end = time.monotonic() + 5
        while os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.05)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
