"""One suite over both implementations of the gRPC seam, against real servers."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from rtscope.backends.channel import (
    CHOICE,
    NOT_FOUND,
    UNIMPLEMENTED,
    Channel,
    RpcError,
    connect,
    frames,
)
from rtscope.errors import (
    BackendDeniedError,
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    UsageError,
)
from tests.contract.grpc_servers import (
    CONTENT_TYPE,
    MEGABYTE,
    PATIENT_S,
    STATUS_200,
    TRAILERS,
    Peer,
    Service,
    grpc_server,
    headers,
    huffman,
    literal,
    message,
    raw_server,
    wait_until,
)

SHORT_S = 0.3
IMPLEMENTATIONS = ("lean", "grpcio")
Handler = Callable[[socket.socket], None]


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(CHOICE, request.param)
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "daemon.sock")


def dial(path: str) -> Channel:
    return connect(path, connect_timeout_s=PATIENT_S, backend="containerd", endpoint="ENDPOINT")


@pytest.fixture
def service(path: str) -> Iterator[Service]:
    with grpc_server(path) as running:
        yield running


@pytest.fixture
def channel(implementation: str, service: Service, path: str) -> Iterator[Channel]:
    with contextlib.closing(dial(path)) as opened:
        yield opened


@contextlib.contextmanager
def meeting(path: str, handler: Handler) -> Iterator[Channel]:
    """A channel to a raw server."""
    with raw_server(path, handler), contextlib.closing(dial(path)) as opened:
        yield opened


def ask(channel: Channel, name: str, request: bytes = b"", timeout_s: float = PATIENT_S) -> bytes:
    return channel.unary(f"/test.Test/{name}", request, timeout_s)


def listen(channel: Channel, name: str, request: bytes = b"") -> Iterator[bytes]:
    return channel.stream(f"/test.Test/{name}", request, PATIENT_S)


def test_unary_brings_the_answer(channel: Channel) -> None:
    for request in (b"", b"hello", bytes(range(256)) * 1000):
        assert ask(channel, "Echo", request) == request
    assert channel.is_usable


def test_request_larger_than_the_peers_windows_arrives(channel: Channel) -> None:
    request = os.urandom(3 * MEGABYTE)
    assert ask(channel, "Echo", request) == request


def test_metadata_and_deadline_reach_the_daemon(channel: Channel) -> None:
    metadata = (("containerd-namespace", "k8s.io"),)
    assert channel.unary("/test.Test/Namespace", b"", PATIENT_S, metadata) == b"k8s.io"
    assert 0 < float(ask(channel, "Timeout")) <= PATIENT_S + 0.1


@pytest.mark.parametrize("size", [20 * MEGABYTE, 32 * MEGABYTE])
def test_big_answer_arrives_whole(channel: Channel, size: int) -> None:
    assert len(ask(channel, "Size", str(size).encode())) == size


def test_answer_beyond_the_limit_is_an_error_and_the_channel_goes_on(channel: Channel) -> None:
    with pytest.raises(BackendError, match="larger"):
        ask(channel, "Size", str(33 * MEGABYTE).encode())
    assert ask(channel, "Echo", b"x") == b"x"


def test_thirty_two_calls_at_once_get_their_own_answers(channel: Channel) -> None:
    got: dict[int, bytes] = {}

    def call(number: int) -> None:
        for turn in range(5):
            request = f"{number} {turn} ".encode() * 4000
            assert ask(channel, "Echo", request) == request
        got[number] = request

    threads = [threading.Thread(target=call, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENT_S)
    assert sorted(got) == list(range(32))


def test_slow_call_does_not_hold_up_others(channel: Channel, service: Service) -> None:
    answers: list[bytes] = []
    slow = threading.Thread(target=lambda: answers.append(ask(channel, "Wait")))
    slow.start()
    for number in range(20):
        assert ask(channel, "Echo", str(number).encode()) == str(number).encode()
    assert answers == []
    service.release.set()
    slow.join(PATIENT_S)
    assert answers == [b"late"]


def test_stream_brings_every_message_in_order(channel: Channel) -> None:
    expected = [str(number).encode() for number in range(2000)]
    assert list(listen(channel, "Stream_Count", b"2000")) == expected
    assert list(listen(channel, "Stream_Count", b"0")) == []


def test_stream_longer_than_every_window_arrives(channel: Channel) -> None:
    sizes = [len(part) for part in listen(channel, "Stream_Size", str(10 * MEGABYTE).encode())]
    assert sizes == [10 * MEGABYTE] * 12


def test_stream_delivers_what_came_before_its_error(channel: Channel) -> None:
    answers = listen(channel, "Stream_Error")
    assert next(answers) == b"first"
    with pytest.raises(RpcError, match="data loss: midway") as caught:
        next(answers)
    assert caught.value.code == 15


def test_stream_left_early_is_cancelled_at_the_daemon(channel: Channel, service: Service) -> None:
    answers = listen(channel, "Stream_Wait")
    assert next(answers) == b"first"
    answers.close()  # type: ignore[attr-defined] - both are generators
    assert service.cancelled.wait(PATIENT_S)
    assert ask(channel, "Echo", b"x") == b"x"


def test_close_ends_an_endless_stream_of_another_thread(channel: Channel) -> None:
    failures: list[BaseException] = []
    began = threading.Event()

    def follow() -> None:
        try:
            for _ in channel.stream("/test.Test/Stream_Wait", b"", None):
                began.set()
        except BackendError as error:
            failures.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    assert began.wait(PATIENT_S)
    channel.close()
    thread.join(PATIENT_S)
    assert [type(failure) for failure in failures] == [BackendUnavailableError]
    channel.close()
    assert not channel.is_usable
    with pytest.raises(BackendUnavailableError, match="closed by us"):
        ask(channel, "Echo")


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_every_status_is_an_error_of_the_tree(channel: Channel, code: grpc.StatusCode) -> None:
    kinds: dict[grpc.StatusCode, type[BackendError]] = {
        grpc.StatusCode.DEADLINE_EXCEEDED: BackendTimeoutError,
        grpc.StatusCode.PERMISSION_DENIED: BackendDeniedError,
        grpc.StatusCode.UNAUTHENTICATED: BackendDeniedError,
        grpc.StatusCode.UNAVAILABLE: BackendUnavailableError,
    }
    number = code.value[0]
    with pytest.raises(BackendError) as caught:
        ask(channel, "Error", f"{number} 100 % of grün\n is \u202e wrong".encode())
    assert type(caught.value) is kinds.get(code, RpcError)
    assert getattr(caught.value, "code", number) == number
    assert (caught.value.backend, caught.value.endpoint) == ("containerd", "ENDPOINT")
    assert caught.value.message.startswith("containerd at ENDPOINT: ")
    if code is not grpc.StatusCode.DEADLINE_EXCEEDED:
        assert "100 % of grün\n is \u202e wrong" in caught.value.message
    assert ask(channel, "Echo", b"x") == b"x"


def test_unknown_method_and_missing_thing_are_told_apart(channel: Channel) -> None:
    with pytest.raises(RpcError) as unknown:
        ask(channel, "Nonsense")
    assert unknown.value.code == UNIMPLEMENTED
    with pytest.raises(RpcError, match="no such container") as missing:
        ask(channel, "Error", b"5 no such container")
    assert missing.value.code == NOT_FOUND


def test_deadline_ends_a_call_and_cancels_it(channel: Channel, service: Service) -> None:
    assert ask(channel, "Echo", b"x") == b"x"
    with pytest.raises(BackendTimeoutError, match="no answer in time"):
        ask(channel, "Wait", timeout_s=SHORT_S)
    assert service.cancelled.wait(PATIENT_S)
    assert ask(channel, "Echo", b"x") == b"x"


@pytest.mark.parametrize("count", [50, 150])
def test_many_headers_arrive(channel: Channel, count: int) -> None:
    assert ask(channel, "Headers", str(count).encode()) == b"done"
    assert ask(channel, "Headers", str(count).encode()) == b"done"


def test_missing_and_dead_sockets_are_unavailable(implementation: str, path: str) -> None:
    with pytest.raises(BackendUnavailableError, match="no such socket"):
        dial(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
        with pytest.raises(BackendUnavailableError, match="nobody listens"):
            dial(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_denied_socket_says_whose_it_is(implementation: str) -> None:
    code = (
        "import os, sys\n"
        "from rtscope.backends import rights\n"
        "from rtscope.backends.channel import connect, grpcio, lean\n"
        "from rtscope.errors import BackendDeniedError\n"
        "from rtscope.procfs import host\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    connect(sys.argv[1], connect_timeout_s=5, backend='b', endpoint=sys.argv[1])\n"
        "except BackendDeniedError as error:\n"
        "    print(error.message, '|', error.hint)\n"
    )
    # Not in tmp_path: other users cannot enter it.
    path = f"/tmp/rtscope-denied-{os.getpid()}-{implementation}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(1)
            done = subprocess.run(
                [sys.executable, "-c", code, path],
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENT_S,
            )
        finally:
            os.unlink(path)
    assert "permission denied" in done.stdout
    assert "root:root, mode 0600" in done.stdout


def test_choice_that_names_nothing_is_a_usage_error(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHOICE, "nonsense")
    with pytest.raises(UsageError, match="nonsense"):
        dial(path)


# Servers that misbehave.


def _silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def _http1(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def _garbage(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\xde\xad\xbe\xef" * 1000)
    _silent(connection)


def _hung_up(connection: socket.socket) -> None:
    connection.recv(65536)


def _html(connection: socket.socket) -> None:
    peer = Peer(connection)
    stream_id = peer.await_request()
    block = b"\x88\0" + literal(b"content-type") + literal(b"text/html")
    peer.send(headers(stream_id, block), frames.encode(frames.DATA, 1, stream_id, b"<html>"))
    peer.drain()


def _not_found(connection: socket.socket) -> None:
    peer = Peer(connection)
    peer.send(headers(peer.await_request(), b"\x8d" + CONTENT_TYPE, is_last=True))
    peer.drain()


def _without_status(connection: socket.socket) -> None:
    peer = Peer(connection)
    stream_id = peer.await_request()
    peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE), message(stream_id, b"x"))
    peer.send(headers(stream_id, b"\0" + literal(b"x") + literal(b"y"), is_last=True))
    peer.drain()


def _bad_headers(connection: socket.socket) -> None:
    peer = Peer(connection)
    peer.send(headers(peer.await_request(), b"\xff\xff\xff\xff\x07"))
    peer.drain()


def _midway(connection: socket.socket) -> None:
    peer = Peer(connection)
    stream_id = peer.await_request()
    whole = message(stream_id, bytes(1000))
    peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE), whole[:500])


def _reset(connection: socket.socket) -> None:
    peer = Peer(connection)
    peer.send(frames.encode_reset(peer.await_request(), 2))
    peer.drain()


def _several(connection: socket.socket) -> None:
    peer = Peer(connection)
    stream_id = peer.await_request()
    peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE))
    peer.send(message(stream_id, b"a"), message(stream_id, b"b"))
    peer.send(headers(stream_id, TRAILERS, is_last=True))
    peer.drain()


@pytest.mark.parametrize(
    "handler",
    [
        _http1,
        _garbage,
        _hung_up,
        _html,
        _not_found,
        _without_status,
        _bad_headers,
        _midway,
        _reset,
        _several,
    ],
)
def test_misbehaving_server_is_an_error_within_the_deadline(
    implementation: str, path: str, handler: Handler
) -> None:
    with meeting(path, handler) as channel:
        started_at = time.monotonic()
        with pytest.raises(BackendError) as caught:
            ask(channel, "Echo", b"x", 5.0)
        assert time.monotonic() - started_at < 15
        assert caught.value.message.startswith("containerd at ENDPOINT: ")


@pytest.mark.parametrize(
    ("handler", "kind", "why"),
    [
        (_http1, BackendError, "an HTTP/1 server answers where gRPC is expected"),
        (_garbage, BackendError, "the answer is not HTTP/2"),
        (_hung_up, BackendUnavailableError, "closed without an answer"),
        (_html, BackendError, "without gRPC"),
        (_not_found, BackendError, "HTTP status 404"),
        (_without_status, BackendError, "without a status"),
        (_bad_headers, BackendError, "header"),
        (_midway, BackendError, "closed midway"),
        (_reset, BackendError, "HTTP/2 error 2"),
        (_several, BackendError, "several answers"),
    ],
)
def test_lean_channel_says_what_is_wrong(
    path: str, handler: Handler, kind: type[BackendError], why: str
) -> None:
    with meeting(path, handler) as channel:
        with pytest.raises(BackendError, match=why) as caught:
            ask(channel, "Echo", b"x")
        assert type(caught.value) is kind


def test_silent_server_times_out(implementation: str, path: str) -> None:
    with meeting(path, _silent) as channel:
        for _ in range(2):
            with pytest.raises((BackendTimeoutError, BackendUnavailableError)):
                ask(channel, "Echo", b"x", SHORT_S)
        channel.close()


def test_server_gone_midway_ends_the_calls_under_way(implementation: str, path: str) -> None:
    code = (
        "import sys, time\n"
        "from tests.contract.grpc_servers import grpc_server\n"
        "with grpc_server(sys.argv[1]):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(120)\n"
    )
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        with contextlib.closing(dial(path)) as channel:
            answers = listen(channel, "Stream_Wait")
            assert next(answers) == b"first"
            server.kill()
            with pytest.raises(BackendError):
                next(answers)
            with pytest.raises(BackendError):
                ask(channel, "Echo", b"x", 5.0)


def _answered(path: str, *parts: Callable[[int], bytes]) -> bytes:
    """What a call brings whose answer is made of these parts."""

    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        stream_id = peer.await_request()
        for part in parts:
            peer.send(part(stream_id))
        peer.drain()

    with meeting(path, handler) as channel:
        return ask(channel, "Echo", b"x")


def test_huffman_coded_headers_are_read(implementation: str, path: str) -> None:
    block = STATUS_200 + b"\x5f" + huffman(b"application/grpc")
    trailers = b"\x40" + huffman(b"grpc-status") + huffman(b"0")
    trailers += b"\0" + huffman(b"grpc-message") + huffman(bytes(range(32, 127)))
    got = _answered(
        path,
        lambda n: headers(n, block),
        lambda n: message(n, b"answer"),
        lambda n: headers(n, trailers, is_last=True),
    )
    assert got == b"answer"


def test_entries_of_the_dynamic_table_are_read(implementation: str, path: str) -> None:
    entered = STATUS_200 + b"\x40" + literal(b"content-type") + literal(b"application/grpc")
    entered += b"\x40" + literal(b"grpc-status") + literal(b"0")
    # The table's first entry is the newest: grpc-status, then content-type.
    with_table = STATUS_200 + b"\xbf"

    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        stream_id = peer.await_request()
        peer.send(headers(stream_id, entered, is_last=True))
        while True:
            frame = peer.next_frame()
            if frame is None:
                return
            if frame.kind == frames.DATA and frame.flags & frames.END_STREAM:
                peer.send(headers(frame.stream_id, with_table))
                peer.send(message(frame.stream_id, b"answer"))
                peer.send(headers(frame.stream_id, b"\xbe", is_last=True))

    with meeting(path, handler) as channel:
        with contextlib.suppress(BackendError):
            ask(channel, "Echo", b"x")
        assert ask(channel, "Echo", b"x") == b"answer"


def test_headers_in_continuations_are_read(implementation: str, path: str) -> None:
    block = STATUS_200 + CONTENT_TYPE
    got = _answered(
        path,
        lambda n: frames.encode(frames.HEADERS, 0, n, block[:3]),
        lambda n: frames.encode(frames.CONTINUATION, 0, n, block[3:9]),
        lambda n: frames.encode(frames.CONTINUATION, frames.END_HEADERS, n, block[9:]),
        lambda n: message(n, b"a"),
        lambda n: headers(n, TRAILERS, is_last=True),
    )
    assert got == b"a"


def test_ping_is_answered_and_unknown_frames_are_ignored(implementation: str, path: str) -> None:
    answered = threading.Event()

    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        stream_id = peer.await_request()
        peer.send(frames.encode(0x1F, 0, 0, b"novel"))
        peer.send(frames.encode(frames.PING, 0, 0, b"12345678"))
        while True:
            frame = peer.next_frame()
            assert frame is not None
            if frame.kind == frames.PING and frame.flags & frames.ACK:
                assert frame.payload == b"12345678"
                answered.set()
                break
        peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE), message(stream_id, b"x"))
        peer.send(headers(stream_id, TRAILERS, is_last=True))
        peer.drain()

    with meeting(path, handler) as channel:
        assert ask(channel, "Echo", b"x") == b"x"
    assert answered.is_set()


def _flooding(prefix: bytes) -> Handler:
    """Sends up to a gigabyte of one answer, whatever the client allows."""

    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        stream_id = peer.await_request()
        peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE))
        peer.send(frames.encode(frames.DATA, 0, stream_id, prefix))
        block = frames.encode(frames.DATA, 0, stream_id, bytes(16000)) * 64
        for _ in range(1024):
            peer.send(block)

    return handler


@pytest.mark.parametrize(
    "prefix",
    [
        b"\0" + (1 << 30).to_bytes(4, "big"),
        b"\0" + (32 * MEGABYTE).to_bytes(4, "big"),
        b"",
    ],
    ids=["one-announced", "one-and-more", "empty-ones"],
)
def test_gigabyte_of_an_answer_is_refused_in_bounded_memory(
    implementation: str, path: str, prefix: bytes
) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with meeting(path, _flooding(prefix)) as channel:
        with pytest.raises(BackendError):
            ask(channel, "Echo", b"x", 10.0)
        channel.close()
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < 200 * 1024


# What only our own has to keep.


def test_lean_channel_reads_padded_frames(path: str) -> None:
    body = b"\0\0\0\0\1" + b"a"
    flags = frames.END_HEADERS | frames.PADDED | frames.PRIORITY
    block = b"\2" + bytes(5) + STATUS_200 + CONTENT_TYPE + bytes(2)
    got = _answered(
        path,
        lambda n: frames.encode(frames.HEADERS, flags, n, block),
        lambda n: frames.encode(frames.DATA, frames.PADDED, n, b"\4" + body[:3] + bytes(4)),
        lambda n: frames.encode(frames.DATA, frames.PADDED, n, b"\0" + body[3:]),
        lambda n: headers(n, TRAILERS, is_last=True),
    )
    assert got == b"a"


def test_lean_channel_asks_a_mute_peer_nothing_more(path: str) -> None:
    """A stopped daemon's queue must not fill up with our requests."""
    seen: list[int] = []
    speak = threading.Event()

    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        is_greeted = False
        connection.settimeout(0.05)
        while True:
            try:
                frame = peer.next_frame()
            except TimeoutError:
                if speak.is_set() and not is_greeted:
                    is_greeted = True
                    peer.send(frames.encode_settings({}))
                continue
            if frame is None:
                return
            if frame.kind == frames.HEADERS:
                seen.append(frame.stream_id)
            if frame.kind == frames.DATA and is_greeted:
                peer.send(headers(frame.stream_id, STATUS_200 + CONTENT_TYPE))
                peer.send(message(frame.stream_id, b"x"))
                peer.send(headers(frame.stream_id, TRAILERS, is_last=True))

    with meeting(path, handler) as channel:
        for _ in range(5):
            with pytest.raises(BackendTimeoutError):
                ask(channel, "Echo", b"x", SHORT_S)
        assert seen == [1]
        speak.set()
        assert ask(channel, "Echo", b"x") == b"x"
        assert seen == [1, 3]


def test_lean_channel_notices_a_goodbye_before_it_asks(path: str) -> None:
    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        stream_id = peer.await_request()
        peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE), message(stream_id, b"x"))
        peer.send(headers(stream_id, TRAILERS, is_last=True))
        payload = stream_id.to_bytes(4, "big") + (11).to_bytes(4, "big") + b"too_many_pings"
        peer.send(frames.encode(frames.GOAWAY, 0, 0, payload))
        peer.drain()

    with meeting(path, handler) as channel:
        assert ask(channel, "Echo", b"x") == b"x"

        def fails() -> bool:
            try:
                ask(channel, "Echo", b"x", 1.0)
            except BackendUnavailableError as error:
                return "too_many_pings" in error.message
            except BackendTimeoutError:
                return False
            return False

        wait_until(fails)
        assert not channel.is_usable


def test_lean_channel_keeps_to_the_number_of_calls_that_the_peer_allows(path: str) -> None:
    most: list[int] = []

    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        peer.send(frames.encode_settings({frames.MAX_CONCURRENT_STREAMS: 2}))
        waiting: list[int] = []
        connection.settimeout(0.2)
        while True:
            try:
                frame = peer.next_frame()
            except TimeoutError:
                most.append(len(waiting))
                for stream_id in waiting:
                    peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE))
                    peer.send(message(stream_id, b"x"), headers(stream_id, TRAILERS, is_last=True))
                waiting.clear()
                continue
            if frame is None:
                return
            if frame.kind == frames.DATA:
                waiting.append(frame.stream_id)

    with meeting(path, handler) as channel:
        assert ask(channel, "Echo", b"x") == b"x"
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(channel, "Echo", b"x")))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENT_S)
        assert answers == [b"x"] * 6
    assert max(most) <= 2


def test_lean_channel_works_where_no_thread_can_be_started(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(connection: socket.socket) -> None:
        peer = Peer(connection)
        stream_id = peer.await_request()
        peer.send(headers(stream_id, STATUS_200 + CONTENT_TYPE), message(stream_id, b"x"))
        peer.send(headers(stream_id, TRAILERS, is_last=True))
        peer.drain()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with raw_server(path, handler), monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with contextlib.closing(dial(path)) as channel:
            assert ask(channel, "Echo", b"x") == b"x"
