import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtscope._pb import shim_v2_pb2, ttrpc_pb2
from rtscope.backends.channel.failure import RpcError
from rtscope.backends.shim.ttrpc import (
    MESSAGE_LIMIT,
    REQUEST,
    RESPONSE,
    Frame,
    FrameError,
    FrameReader,
    TtrpcClient,
    encode_frame,
)
from rtscope.errors import (
    BackendDeniedError,
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
)

# Deadlines of single examples fail on a busy machine and say nothing.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PATIENT_S = 20.0
SHORT_S = 0.2
Handler = Callable[[socket.socket], None]

frames = st.builds(
    Frame,
    stream_id=st.integers(0, 2**32 - 1),
    kind=st.integers(0, 255),
    flags=st.integers(0, 255),
    payload=st.binary(max_size=300),
)


@patient
@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_reader_cuts_any_chunks_into_the_frames_that_were_sent(
    sent: list[Frame], sizes: list[int]
) -> None:
    data = b"".join(encode_frame(frame) for frame in sent)
    reader, got, position = FrameReader(), [], 0
    while position < len(data):
        size = sizes[position % len(sizes)]
        got += reader.feed(data[position : position + size])
        position += size
    assert got == sent
    assert not reader.is_midway


@patient
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_reader_survives_any_bytes(chunks: list[bytes]) -> None:
    reader = FrameReader()
    with contextlib.suppress(FrameError):
        for chunk in chunks:
            for frame in reader.feed(chunk):
                assert len(frame.payload) <= MESSAGE_LIMIT


@patient
@given(st.integers(MESSAGE_LIMIT + 1, 2**32 - 1))
def test_reader_refuses_a_length_beyond_the_limit(length: int) -> None:
    with pytest.raises(FrameError, match="are allowed"):
        FrameReader().feed(struct.pack(">IIBB", length, 1, RESPONSE, 0))


def test_encoder_refuses_a_message_beyond_the_limit() -> None:
    with pytest.raises(FrameError):
        encode_frame(Frame(1, REQUEST, 0, bytes(MESSAGE_LIMIT + 1)))


@contextlib.contextmanager
def serving(address: str, handler: Handler) -> Iterator[None]:
    """Serve one connection by `handler` in a thread; fails if the handler failed."""
    failures: list[BaseException] = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(1)

    def serve() -> None:
        try:
            with listener.accept()[0] as connection:
                connection.settimeout(PATIENT_S)
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
        thread.join(PATIENT_S)
        listener.close()
        assert not thread.is_alive()
        assert failures == []


def receive_request(connection: socket.socket) -> tuple[int, ttrpc_pb2.Request]:
    reader = FrameReader()
    while True:
        data = connection.recv(65536)
        assert data, "the client hung up"
        for frame in reader.feed(data):
            assert frame.kind == REQUEST
            return frame.stream_id, ttrpc_pb2.Request.FromString(frame.payload)


def send_response(connection: socket.socket, stream_id: int, response: ttrpc_pb2.Response) -> None:
    payload = response.SerializeToString()
    connection.sendall(encode_frame(Frame(stream_id, RESPONSE, 0, payload)))


def until_hung_up(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@contextlib.contextmanager
def connected(address: str, handler: Handler) -> Iterator[TtrpcClient]:
    with serving(address, handler):
        client = TtrpcClient.connect(address, PATIENT_S, backend="shim", endpoint=address)
        with contextlib.closing(client):
            yield client


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "s")


def ask(client: TtrpcClient, timeout_s: float = PATIENT_S) -> bytes:
    request = shim_v2_pb2.StateRequest(id="c1").SerializeToString()
    return client.call("containerd.task.v2.Task", "State", request, timeout_s)


def test_call_brings_the_payload_of_the_answer(address: str) -> None:
    def handler(connection: socket.socket) -> None:
        for expected_id in (1, 3):
            stream_id, request = receive_request(connection)
            assert stream_id == expected_id
            assert (request.service, request.method) == ("containerd.task.v2.Task", "State")
            assert request.timeout_nano == int(PATIENT_S * 1e9)
            asked = shim_v2_pb2.StateRequest.FromString(request.payload)
            state = shim_v2_pb2.StateResponse(id=asked.id, pid=7, status=2)
            response = ttrpc_pb2.Response(payload=state.SerializeToString())
            send_response(connection, stream_id, response)

    with connected(address, handler) as client:
        for _ in range(2):
            state = shim_v2_pb2.StateResponse.FromString(ask(client))
            assert (state.id, state.pid, state.status) == ("c1", 7, 2)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (5, RpcError),
        (12, RpcError),
        (99, RpcError),
        (4, BackendTimeoutError),
        (7, BackendDeniedError),
        (14, BackendUnavailableError),
    ],
)
def test_error_of_the_shim_has_its_code_and_text(
    address: str, code: int, kind: type[BackendError]
) -> None:
    def handler(connection: socket.socket) -> None:
        stream_id, _ = receive_request(connection)
        response = ttrpc_pb2.Response()
        response.status.code, response.status.message = code, "what the shim says"
        send_response(connection, stream_id, response)

    with connected(address, handler) as client:
        with pytest.raises(kind, match="what the shim says") as caught:
            ask(client)
        assert type(caught.value) is kind
        assert getattr(caught.value, "code", code) == code
        assert (caught.value.backend, caught.value.endpoint) == ("shim", address)


def test_late_answer_is_skipped_by_the_next_call(address: str) -> None:
    may_answer = threading.Event()

    def handler(connection: socket.socket) -> None:
        late, _ = receive_request(connection)
        assert may_answer.wait(PATIENT_S)
        send_response(connection, late, ttrpc_pb2.Response(payload=b"late"))
        prompt, _ = receive_request(connection)
        send_response(connection, prompt, ttrpc_pb2.Response(payload=b"prompt"))

    with connected(address, handler) as client:
        with pytest.raises(BackendTimeoutError, match="no answer in time"):
            ask(client, SHORT_S)
        may_answer.set()
        assert ask(client) == b"prompt"


def test_answer_in_single_bytes_arrives(address: str) -> None:
    def handler(connection: socket.socket) -> None:
        stream_id, _ = receive_request(connection)
        payload = ttrpc_pb2.Response(payload=b"slowly").SerializeToString()
        for byte in encode_frame(Frame(stream_id, RESPONSE, 0, payload)):
            connection.sendall(bytes([byte]))

    with connected(address, handler) as client:
        assert ask(client) == b"slowly"


@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        (b"", BackendUnavailableError, "hung up"),
        (b"\0\0\0", BackendUnavailableError, "closed the connection midway"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", BackendError, "not ttrpc"),
        (struct.pack(">IIBB", 1 << 30, 1, RESPONSE, 0), BackendError, "not ttrpc"),
        (struct.pack(">IIBB", 3, 1, RESPONSE, 0) + b"\xff\xff\xff", BackendError, "not protobuf"),
        (struct.pack(">IIBB", 0, 1, REQUEST, 0), BackendError, "frame of type 1"),
    ],
)
def test_bad_answer_breaks_the_connection_with_a_reason(
    address: str, answer: bytes, kind: type[BackendError], why: str
) -> None:
    def handler(connection: socket.socket) -> None:
        receive_request(connection)
        connection.sendall(answer)

    with connected(address, handler) as client:
        with pytest.raises(kind, match=why) as caught:
            ask(client)
        assert type(caught.value) is kind
        with pytest.raises(kind, match=why):
            ask(client)


def test_flood_of_foreign_answers_ends_at_the_deadline(address: str) -> None:
    def handler(connection: socket.socket) -> None:
        flood = encode_frame(Frame(2, RESPONSE, 0, bytes(60000)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                connection.sendall(flood)

    with connected(address, handler) as client:
        with pytest.raises(BackendTimeoutError):
            ask(client, SHORT_S)
        client.close()


def test_silent_shim_times_out_and_close_is_safe_twice(address: str) -> None:
    with connected(address, until_hung_up) as client:
        with pytest.raises(BackendTimeoutError):
            ask(client, SHORT_S)
        client.close()
        client.close()
        with pytest.raises(BackendUnavailableError, match="closed by us"):
            ask(client)


def test_missing_socket_and_dead_socket_are_told_apart(address: str) -> None:
    with pytest.raises(BackendUnavailableError, match="no such socket"):
        TtrpcClient.connect(address, PATIENT_S, backend="shim", endpoint=address)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as dead:
        dead.bind(address)
        with pytest.raises(BackendUnavailableError, match="nobody listens"):
            TtrpcClient.connect(address, PATIENT_S, backend="shim", endpoint=address)


def test_full_queue_is_a_timeout(address: str) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(address)
        listener.listen(0)

        def dial_until_full() -> None:
            for _ in range(3):
                client = TtrpcClient.connect(address, SHORT_S, backend="shim", endpoint=address)
                stack.enter_context(contextlib.closing(client))

        with pytest.raises(BackendTimeoutError, match=r"queue is full|in time"):
            dial_until_full()


@pytest.mark.parametrize("form", ["@{}", "unix://@{}", "unix://\0{}", "abstract://{}"])
def test_abstract_name_is_dialled(form: str) -> None:
    name = f"rtscope-test-{os.getpid()}/shim.sock"

    def handler(connection: socket.socket) -> None:
        stream_id, _ = receive_request(connection)
        send_response(connection, stream_id, ttrpc_pb2.Response(payload=b"x"))

    with serving(f"\0{name}", handler):
        address = form.format(name)
        client = TtrpcClient.connect(address, PATIENT_S, backend="shim", endpoint=address)
        with contextlib.closing(client):
            assert ask(client) == b"x"


def test_path_beyond_the_kernels_limit_is_dialled(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()

    def handler(connection: socket.socket) -> None:
        stream_id, _ = receive_request(connection)
        send_response(connection, stream_id, ttrpc_pb2.Response(payload=b"x"))

    descriptor = os.open(folder, os.O_PATH)
    try:
        with serving(f"/proc/self/fd/{descriptor}/s", handler):
            address = f"{folder}/s"
            client = TtrpcClient.connect(address, PATIENT_S, backend="shim", endpoint=address)
            with contextlib.closing(client):
                assert ask(client) == b"x"
    finally:
        os.close(descriptor)
