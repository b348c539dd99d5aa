"""The HTTP connection against servers on unix sockets, kind and unkind."""

import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtscope.backends.channel import frames, http
from rtscope.backends.channel.http import HttpConnection
from rtscope.errors import (
    BackendDeniedError,
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
)
from tests.contract.backend_cases import HASTY, PATIENT, as_nobody, open_directory
from tests.contract.grpc_servers import PATIENT_S, grpc_server, raw_server

Handler = Callable[[socket.socket], None]


def next_path(connection: socket.socket) -> str | None:
    """The path of the next request; None where the client hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return None
        data += received
    return data.split(b" ", 2)[1].decode()


def answering(*answers: bytes, asked: list[str] | None = None) -> Handler:
    def handle(connection: socket.socket) -> None:
        for answer in answers:
            path = next_path(connection)
            if path is None:
                return
            if asked is not None:
                asked.append(path)
            connection.sendall(answer)

    return handle


def until_closed(*parts: bytes) -> Handler:
    """Answers one request with parts, then waits for the client to leave."""

    def handle(connection: socket.socket) -> None:
        next_path(connection)
        for part in parts:
            connection.sendall(part)
        while connection.recv(65536):
            pass

    return handle


def connection_to(path: Path | str) -> HttpConnection:
    return HttpConnection(str(path), backend="podman", endpoint="here", deadlines=PATIENT)


def get(tmp_path: Path, handler: Handler, timeout_s: float = PATIENT_S) -> http.Answer:
    path = tmp_path / "h.sock"
    with raw_server(str(path), handler):
        client = connection_to(path)
        try:
            return client.get("/x", timeout_s)
        finally:
            client.close()
            client.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_get_keeps_the_connection(tmp_path: Path):
    asked: list[str] = []
    path = tmp_path / "h.sock"
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nT: x\r\n\r\n"
    )
    early = b"HTTP/1.1 100 Continue\r\n\r\n"
    with raw_server(str(path), answering(OK, chunked, early + OK, asked=asked)):
        client = connection_to(path)
        assert client.connect_ms is None
        assert client.get("/a", PATIENT_S) == (200, {"content-length": "2"}, b"hi")
        assert client.get("/b", PATIENT_S)[2] == b"hi"
        assert client.get("/c", PATIENT_S)[2] == b"hi"
        assert client.connect_ms is not None
        assert client.first_answer_ms is not None
        client.close()
    assert asked == ["/a", "/b", "/c"]


def test_get_reconnects_where_the_server_closed(tmp_path: Path):
    path = tmp_path / "h.sock"
    with raw_server(str(path), answering(OK)):
        client = connection_to(path)
        assert client.get("/a", PATIENT_S)[0] == 200
        assert client._sock is not None
        client._sock.recv(1, socket.MSG_PEEK)
        assert client.get("/b", PATIENT_S)[0] == 200
        client.close()


def test_get_body_to_the_end_of_the_connection(tmp_path: Path):
    answer = b"HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\nall of it"
    status, _, body = get(tmp_path, answering(answer))
    assert (status, body) == (404, b"all of it")


def test_get_no_content_has_no_body(tmp_path: Path):
    assert get(tmp_path, until_closed(b"HTTP/1.1 204 No Content\r\n\r\n"))[2] == b""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"GARBAGE" * 10, "the answer is not HTTP"),
        (b"HTTP/1.1 xx\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1." + b"x" * (http.MAX_HEAD_BYTES + 2), "the answer is not HTTP"),
        (frames.encode_settings({3: 100}), "the answer is HTTP/2"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no valid length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n", "no valid length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 68719476736\r\n\r\n", "larger than 64 MiB"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no valid length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhixx", "has no end"),
    ],
)
def test_get_what_is_not_an_answer_is_malformed(tmp_path: Path, answer: bytes, why: str):
    with pytest.raises(BackendError, match=why) as caught:
        get(tmp_path, until_closed(answer))
    assert type(caught.value) is BackendError
    assert (caught.value.backend, caught.value.endpoint) == ("podman", "here")


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    ],
)
def test_get_closed_midway_is_malformed(tmp_path: Path, part: bytes):
    with pytest.raises(BackendError, match="closed the connection midway") as caught:
        get(tmp_path, answering(part))
    assert type(caught.value) is BackendError


def test_get_closed_without_a_byte_is_unavailable(tmp_path: Path):
    with pytest.raises(BackendUnavailableError, match="closed the connection"):
        get(tmp_path, answering(b""))


def test_get_endless_body_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 1000)

    def pour(connection: socket.socket) -> None:
        next_path(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 4096)

    with pytest.raises(BackendError, match="larger than"):
        get(tmp_path, pour)


def test_get_grpc_server_is_told_apart(tmp_path: Path):
    path = tmp_path / "g.sock"
    with grpc_server(str(path)):
        client = connection_to(path)
        with pytest.raises(BackendError):
            client.get("/x", PATIENT_S)
        client.close()


def test_get_unanswered_is_waited_for_not_repeated(tmp_path: Path):
    asked: list[str] = []
    path = tmp_path / "h.sock"
    release = os.eventfd(0)

    def late(connection: socket.socket) -> None:
        asked.append(str(next_path(connection)))
        os.eventfd_read(release)
        connection.sendall(OK)
        while connection.recv(65536):
            pass

    with raw_server(str(path), late):
        client = connection_to(path)
        with pytest.raises(BackendTimeoutError, match="no answer in time"):
            client.get("/x", 0.05)
        os.eventfd_write(release, 1)
        assert client.get("/x", PATIENT_S)[0] == 200
        client.close()
    os.close(release)
    assert asked == ["/x"]


def test_get_nobody_listens_is_unavailable(tmp_path: Path):
    with pytest.raises(BackendUnavailableError, match="no such socket"):
        connection_to(tmp_path / "none").get("/x", PATIENT_S)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "dead"))
    with pytest.raises(BackendUnavailableError, match="nobody listens"):
        connection_to(tmp_path / "dead").get("/x", PATIENT_S)


def test_get_full_queue_is_silent(tmp_path: Path):
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        client = HttpConnection(path, backend="b", endpoint="e", deadlines=HASTY)
        with pytest.raises(BackendTimeoutError):
            client.get("/x", PATIENT_S)


def test_get_long_path(tmp_path: Path):
    folder = tmp_path / ("d" * 90) / ("e" * 90)
    folder.mkdir(parents=True)
    at = os.getcwd()
    os.chdir(folder)
    try:
        with raw_server("h.sock", answering(OK)):
            client = connection_to(folder / "h.sock")
            assert client.get("/x", PATIENT_S)[0] == 200
            client.close()
    finally:
        os.chdir(at)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_get_denied_names_owner_group_and_mode():
    with open_directory() as root, raw_server(str(root / "h.sock"), answering(OK)):
        (root / "h.sock").chmod(0o660)
        with as_nobody(), pytest.raises(BackendDeniedError) as caught:
            connection_to(root / "h.sock").get("/x", PATIENT_S)
    assert caught.value.hint is not None
    assert "root:root, mode 0660" in caught.value.hint


def test_get_tcp_and_tls_to_a_plain_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        plain = HttpConnection(address, backend="b", endpoint=address, deadlines=HASTY)
        with pytest.raises(BackendTimeoutError):
            plain.get("/x", 0.05)
        plain.close()
        listener.accept()[0].close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        secure = HttpConnection(
            address, backend="b", endpoint=address, deadlines=HASTY, tls=context, tls_name="x"
        )
        with pytest.raises(BackendTimeoutError):
            secure.get("/x", PATIENT_S)
        secure.close()
        listener.accept()[0].close()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=200), is_started=st.booleans())
def test_read_any_bytes_give_an_answer_or_an_error_of_ours(data: bytes, is_started: bool):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if is_started else b""
        theirs.sendall(start + data)
        theirs.shutdown(socket.SHUT_WR)
        client = connection_to("unused")
        client._sock, client._reader, client._pending = ours, http._Reader(ours), "/x"
        try:
            status, _, _ = client.get("/x", PATIENT_S)
        except BackendError:
            return
        assert 0 <= status <= 999
