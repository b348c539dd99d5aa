"""The docker backend against small real servers on unix sockets."""

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from rtscope.backends.channel import http
from rtscope.backends.docker import DockerBackend
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendDeniedError, BackendError
from rtscope.model.observation import Endpoint, Gap, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from tests.contract.backend_cases import (
    HASTY,
    PATIENT,
    as_nobody,
    naive_times,
    open_directory,
    targets,
)
from tests.contract.grpc_servers import PATIENT_S, raw_server

DATA = Path(__file__).parents[1] / "data/docker/28.5.2"
SERVER = "Server: Docker/28.5.2 (linux)\r\n"
WEB = {
    "Id": "a" * 64,
    "Names": ["/web"],
    "State": "running",
    "Status": "Up 1 second",
    "Created": 1_700_000_000,
}

Handler = Callable[[socket.socket], None]


def next_request(connection: socket.socket) -> str | None:
    """The path of the next GET; None where the client hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return None
        data += received
    assert data.count(b"\r\n\r\n") == 1
    method, path, _ = data.split(b" ", 2)
    assert method == b"GET"
    return path.decode()


def response(body: bytes, status: str = "200 OK", headers: str = SERVER) -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def serving(*answers: bytes, asked: list[str] | None = None) -> Handler:
    """Answers one request after another, then hangs up."""

    def handle(connection: socket.socket) -> None:
        for answer in answers:
            path = next_request(connection)
            if path is None:
                return
            if asked is not None:
                asked.append(path)
            connection.sendall(answer)

    return handle


def endpoint(path: Path) -> Endpoint:
    return Endpoint(kind="docker", address=str(path), origin="/var/lib/docker")


def observe(path: Path, deadlines: Deadlines = PATIENT, **wanted: object) -> Observation:
    backend = DockerBackend.connect(endpoint(path), deadlines)
    try:
        return backend.observe(targets(**wanted))  # type: ignore[arg-type]
    finally:
        backend.close()
        backend.close()


def observe_answer(tmp_path: Path, handler: Handler, **wanted: object) -> Observation:
    path = tmp_path / "docker.sock"
    with raw_server(str(path), handler):
        return observe(path, **wanted)


def only_gap(observation: Observation) -> Gap:
    (gap,) = observation.gaps
    assert gap.source == observation.source
    return gap


def test_observe_recorded_list_is_complete(tmp_path: Path):
    asked: list[str] = []
    answer = response((DATA / "containers.json").read_bytes())
    found = observe_answer(tmp_path, serving(answer, asked=asked))
    assert asked == ["/containers/json?all=1"]
    assert found.gaps == ()
    assert {c.name for c in found.containers} >= {"d-run", "d-paused", "d-exited"}
    assert found.endpoint.version == "28.5.2"
    assert found.endpoint.state is EndpointState.OK
    assert found.endpoint.asked == ("GET /containers/json?all=1",)
    assert found.endpoint.connect_ms is not None
    assert found.endpoint.first_answer_ms is not None
    assert found.kind == "docker"
    assert naive_times(found) == []
    assert all(c.below_namespace == "moby" for c in found.containers)


def test_observe_empty_daemon_has_no_gap(tmp_path: Path):
    found = observe_answer(tmp_path, serving(response(b"[]")))
    assert (found.containers, found.gaps) == ((), ())
    assert found.endpoint.state is EndpointState.OK


def test_observe_chunked_answer_is_joined(tmp_path: Path):
    body = json.dumps([WEB]).encode()
    chunks = b"".join(b"%x;e=1\r\n%s\r\n" % (1, body[i : i + 1]) for i in range(len(body)))
    head = f"HTTP/1.1 200 OK\r\n{SERVER}Transfer-Encoding: chunked\r\n\r\n".encode()
    answer = head + chunks + b"0\r\nTrailer: x\r\n\r\n"
    found = observe_answer(tmp_path, serving(answer, response(b"[]")), needs=frozenset({"images"}))
    assert [c.name for c in found.containers] == ["web"]
    assert found.gaps == ()


def test_observe_answer_without_length_ends_with_the_connection(tmp_path: Path):
    answer = b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps([WEB]).encode()
    found = observe_answer(tmp_path, serving(answer))
    assert [c.name for c in found.containers] == ["web"]


def test_observe_images_only_when_needed_and_on_the_same_connection(tmp_path: Path):
    asked: list[str] = []
    images = response((DATA / "images.json").read_bytes())
    handler = serving(response(b"[]"), images, asked=asked)
    found = observe_answer(tmp_path, handler, needs=frozenset({"images"}))
    assert asked == ["/containers/json?all=1", "/images/json"]
    assert [i.image_ref for i in found.images] == ["rtlab/busybox:1"]


def test_observe_failing_images_keep_the_containers(tmp_path: Path):
    answers = response(json.dumps([WEB]).encode()), response(b"{}", "500 Server Error")
    found = observe_answer(tmp_path, serving(*answers), needs=frozenset({"images"}))
    assert len(found.containers) == 1
    assert (only_gap(found).missing, only_gap(found).subject) == ("images", "images")
    assert found.endpoint.state is EndpointState.OK


def test_observe_scope_asks_for_its_ids_and_keeps_no_other(tmp_path: Path):
    asked: list[str] = []
    other = {**WEB, "Id": "b" * 64}
    ref = Ref(origin="/var/lib/docker", namespace="", id="a" * 64)
    handler = serving(response(json.dumps([WEB, other]).encode()), asked=asked)
    found = observe_answer(tmp_path, handler, scope=(ref,))
    assert [c.ref for c in found.containers] == [ref]
    assert found.scope == (ref,)
    path, _, filters = unquote(asked[0]).partition("&filters=")
    assert path == "/containers/json?all=1"
    assert json.loads(filters) == {"id": ["a" * 64]}


def test_observe_podmans_service_is_no_docker(tmp_path: Path):
    answer = response(json.dumps([WEB]).encode(), headers="Server: Libpod/5.8.6 (linux)\r\n")
    found = observe_answer(tmp_path, serving(answer))
    assert found.endpoint.version == "libpod 5.8.6"
    assert [c.below_namespace for c in found.containers] == [None]


def test_observe_malformed_element_spares_the_others(tmp_path: Path):
    body = json.dumps([WEB, {"Id": "bad", "Names": 5}, 7, {**WEB, "Id": "c"}]).encode()
    found = observe_answer(tmp_path, serving(response(body)))
    assert [c.ref.id for c in found.containers] == ["a" * 64, "c"]
    assert [g.subject for g in found.gaps] == ["bad", "2"]
    assert {g.reason for g in found.gaps} == {Reason.MALFORMED}
    assert found.endpoint.state is EndpointState.MALFORMED


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
        (b"\x00\xff" * 60_000, "not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
        (response(b"<html>"), "not JSON"),
        (response(b"{}"), "not a list"),
        (response(b"[" * 200_000), "not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no valid length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "no valid length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no valid length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "has no end"),
        (response(b'{"message": "boom"}', "500 Internal Server Error"), "HTTP 500: boom"),
        (response(b"page not found", "404 Not Found"), "HTTP 404"),
        (response(b"[]")[:-1], "midway"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "midway"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "midway"),
    ],
)
def test_observe_broken_answer_is_malformed(tmp_path: Path, answer: bytes, why: str):
    found = observe_answer(tmp_path, serving(answer))
    gap = only_gap(found)
    assert (gap.subject, gap.missing, gap.reason) == ("daemon", "containers", Reason.MALFORMED)
    assert why in gap.detail
    assert found.endpoint.state is EndpointState.MALFORMED
    assert found.containers == ()


def test_observe_forbidden_is_denied(tmp_path: Path):
    answer = response(b'{"message": "authorization denied by plugin"}', "403 Forbidden")
    found = observe_answer(tmp_path, serving(answer))
    assert only_gap(found).reason is Reason.DENIED
    assert "authorization denied by plugin" in only_gap(found).detail
    assert found.endpoint.state is EndpointState.DENIED


def test_observe_announced_gigabyte_is_not_read(tmp_path: Path):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"
    found = observe_answer(tmp_path, serving(answer))
    assert "larger than" in only_gap(found).detail


def test_observe_endless_answer_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 1 << 20)

    def flood(connection: socket.socket) -> None:
        next_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

    assert "larger than" in only_gap(observe_answer(tmp_path, flood)).detail


def test_observe_hang_up_without_an_answer_is_refused(tmp_path: Path):
    found = observe_answer(tmp_path, lambda connection: None)
    assert only_gap(found).reason is Reason.REFUSED


def test_observe_nobody_listens_is_refused(tmp_path: Path):
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    found = observe(path)
    assert (only_gap(found).reason, found.endpoint.state) == (Reason.REFUSED, EndpointState.DEAD)
    assert found.endpoint.connect_ms is None


def test_observe_no_socket_is_refused(tmp_path: Path):
    found = observe(tmp_path / "docker.sock")
    assert only_gap(found).reason is Reason.REFUSED
    assert "no such socket" in only_gap(found).detail


def test_observe_silence_ends_at_the_deadline_and_keeps_the_connection(tmp_path: Path):
    path = tmp_path / "docker.sock"
    release = threading.Event()
    asked: list[str] = []

    def handle(connection: socket.socket) -> None:
        asked.append(next_request(connection) or "")
        assert release.wait(PATIENT_S)
        connection.sendall(response(json.dumps([WEB]).encode()))
        assert next_request(connection) is None

    with raw_server(str(path), handle):
        backend = DockerBackend.connect(endpoint(path), HASTY)
        silent = backend.observe(targets())
        assert only_gap(silent).reason is Reason.SILENT
        assert silent.endpoint.state is EndpointState.SILENT
        assert silent.endpoint.connect_ms is not None
        assert silent.endpoint.first_answer_ms is None
        release.set()
        late = backend.observe(targets())
        for _ in range(100):
            if late.containers:
                break
            late = backend.observe(targets())
        backend.close()
    assert [c.name for c in late.containers] == ["web"]
    assert asked == ["/containers/json?all=1"]


def test_observe_drip_ends_at_the_deadline(tmp_path: Path):
    path = tmp_path / "docker.sock"
    is_over = threading.Event()

    def drip(connection: socket.socket) -> None:
        next_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not is_over.wait(0.02):
            connection.sendall(b" ")

    with raw_server(str(path), drip):
        found = observe(path, HASTY)
        is_over.set()
    assert only_gap(found).reason is Reason.SILENT
    assert found.endpoint.state is EndpointState.SILENT


def test_observe_full_queue_is_silent(tmp_path: Path):
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        waiting = []
        try:
            while True:
                client = socket.socket(socket.AF_UNIX)
                waiting.append(client)
                client.setblocking(False)
                try:
                    client.connect(str(path))
                except BlockingIOError:
                    break
            found = observe(path, HASTY)
        finally:
            for client in waiting:
                client.close()
    assert only_gap(found).reason is Reason.SILENT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as directory:
        path = directory / "docker.sock"
        with raw_server(str(path), lambda connection: None):
            path.chmod(0o660)
            with as_nobody():
                found = observe(path)
    gap = only_gap(found)
    assert gap.reason is Reason.DENIED
    assert f"{path} belongs to root:root, mode 0660" in gap.detail
    assert found.endpoint.state is EndpointState.DENIED


def test_observe_again_after_the_daemon_restarted(tmp_path: Path):
    path = tmp_path / "docker.sock"
    backend = DockerBackend.connect(endpoint(path), PATIENT)
    with raw_server(str(path), serving(response(b"[]"))):
        assert backend.observe(targets()).gaps == ()
    path.unlink()
    with raw_server(str(path), serving(response(json.dumps([WEB]).encode()))):
        assert len(backend.observe(targets()).containers) == 1
    backend.close()


def test_observe_tcp_is_dialled_and_ssh_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    monkeypatch.delenv("DOCKER_CERT_PATH", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection = listener.accept()[0]
            with connection:
                serving(response(json.dumps([WEB]).encode()))(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"tcp://127.0.0.1:{port}"
        backend = DockerBackend.connect(Endpoint(kind="docker", address=address), PATIENT)
        found = backend.observe(targets())
        backend.close()
        thread.join(PATIENT_S)
    assert [c.ref.origin for c in found.containers] == [address]
    remote = Endpoint(kind="docker", address="ssh://user@host")
    assert "ssh" in only_gap(DockerBackend.connect(remote, PATIENT).observe(targets())).detail


def test_document_is_what_inspect_shows(tmp_path: Path):
    path = tmp_path / "docker.sock"
    asked: list[str] = []
    ref = Ref(origin="/var/lib/docker", namespace="", id="a/../b")
    missing = response(b'{"message": "No such container: x"}', "404 Not Found")
    handler = serving(response(b'{"Id": "x"}'), missing, response(b"{}", "403 F"), asked=asked)
    with raw_server(str(path), handler):
        backend = DockerBackend.connect(endpoint(path), PATIENT)
        assert backend.document(ref, targets()) == {"Id": "x"}
        with pytest.raises(BackendError, match="No such container"):
            backend.document(ref, targets())
        with pytest.raises(BackendDeniedError):
            backend.document(ref, targets())
        backend.close()
    assert asked[0] == "/containers/a%2F..%2Fb/json"
