"""Servers that a channel meets: a real gRPC one, and raw sockets that misbehave."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from rtscope.backends.channel import frames
from rtscope.backends.channel.frames import FrameReader
from rtscope.backends.channel.hpack import _CODE_LENGTHS, _build_symbols

PATIENT_S = 30.0
MEGABYTE = 1 << 20


class Service(grpc.GenericRpcHandler):
    """Methods named after what they do; the request's bytes are their argument."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.cancelled = threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        name = details.method.removeprefix("/test.Test/").lower()
        if name.startswith("stream"):
            return grpc.unary_stream_rpc_method_handler(getattr(self, name))
        method = getattr(self, name, None)
        return grpc.unary_unary_rpc_method_handler(method) if method else None

    def echo(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        return request

    def namespace(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        fields = dict(context.invocation_metadata())
        return str(fields["containerd-namespace"]).encode()

    def timeout(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        return str(context.time_remaining()).encode()

    def size(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        return bytes(int(request))

    def error(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        number, text = request.decode().split(" ", 1)
        code = next(code for code in grpc.StatusCode if code.value[0] == int(number))
        context.abort(code, text)
        raise AssertionError

    def headers(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        many = tuple((f"x-{n}", f"{n:0>200}") for n in range(int(request)))
        context.send_initial_metadata(many)
        context.set_trailing_metadata(many)
        return b"done"

    def wait(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(self.cancelled.set)
        assert self.release.wait(PATIENT_S)
        return b"late"

    def stream_count(self, request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()

    def stream_size(self, request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        for _ in range(12):
            yield bytes(int(request))

    def stream_error(self, _request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "midway")

    def stream_wait(self, _request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.cancelled.set)
        yield b"first"
        assert self.release.wait(PATIENT_S)


@contextlib.contextmanager
def grpc_server(path: str) -> Iterator[Service]:
    """A gRPC server of grpcio's on a unix socket."""
    service = Service()
    with ThreadPoolExecutor(max_workers=40) as workers:
        options = (
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", MEGABYTE),
            ("grpc.absolute_max_metadata_size", MEGABYTE),
        )
        server = grpc.server(workers, handlers=(service,), options=options)
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield service
        finally:
            service.release.set()
            server.stop(grace=None).wait(PATIENT_S)


@contextlib.contextmanager
def raw_server(path: str, handler: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serves every connection by `handler` in a thread, one after another."""
    failures: list[BaseException] = []
    is_over = threading.Event()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(8)
    listener.settimeout(0.05)

    def serve() -> None:
        while not is_over.is_set():
            try:
                connection = listener.accept()[0]
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(PATIENT_S)
                try:
                    handler(connection)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
                    failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(2 * PATIENT_S)
        listener.close()
        assert not thread.is_alive()
        assert failures == []


class Peer:
    """The server's side of an HTTP/2 connection, frame by frame."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames: list[frames.Frame] = []
        self._reader = FrameReader()
        self._greeting = b""

    def send(self, *parts: bytes) -> None:
        self.connection.sendall(b"".join(parts))

    def next_frame(self) -> frames.Frame | None:
        """The next frame from the client; None at the end."""
        while not self.frames:
            data = self.connection.recv(65536)
            if not data:
                return None
            if len(self._greeting) < len(frames.PREFACE):
                self._greeting += data
                data = self._greeting[len(frames.PREFACE) :]
                assert frames.PREFACE.startswith(self._greeting[: len(frames.PREFACE)])
            self.frames += self._reader.feed(data)
        return self.frames.pop(0)

    def await_request(self) -> int:
        """Answer the greeting; the stream number of the first request that is complete."""
        self.send(frames.encode_settings({}))
        while True:
            frame = self.next_frame()
            assert frame is not None, "the client hung up"
            if frame.kind == frames.DATA and frame.flags & frames.END_STREAM:
                return frame.stream_id

    def drain(self) -> None:
        """Read until the client hangs up."""
        with contextlib.suppress(ConnectionResetError):
            while self.next_frame() is not None:
                pass


def headers(stream_id: int, block: bytes, *, is_last: bool = False) -> bytes:
    flags = frames.END_HEADERS | (frames.END_STREAM if is_last else 0)
    return frames.encode(frames.HEADERS, flags, stream_id, block)


def message(stream_id: int, payload: bytes) -> bytes:
    body = b"\0" + len(payload).to_bytes(4, "big") + payload
    return b"".join(
        frames.encode(frames.DATA, 0, stream_id, body[start : start + frames.FRAME_LIMIT])
        for start in range(0, len(body), frames.FRAME_LIMIT)
    )


def huffman(text: bytes) -> bytes:
    """A header string in Huffman code, with its length before it."""
    codes = {symbol: (code, length) for (length, code), symbol in _build_symbols().items()}
    assert len(codes) == len(_CODE_LENGTHS)
    bits = "".join(f"{codes[byte][0]:0{codes[byte][1]}b}" for byte in text)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    assert len(data) < 127
    return bytes([0x80 | len(data)]) + data


def literal(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text


STATUS_200 = b"\x88"
CONTENT_TYPE = b"\0" + literal(b"content-type") + literal(b"application/grpc")
TRAILERS = b"\0" + literal(b"grpc-status") + literal(b"0")


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENT_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
