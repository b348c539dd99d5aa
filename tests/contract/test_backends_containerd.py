"""The containerd backend against real gRPC servers, and sockets that misbehave."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from rtscope._pb import containers_pb2, images_pb2, namespaces_pb2, version_pb2
from rtscope.backends.containerd import ContainerdBackend
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
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


class FakeContainerd(grpc.GenericRpcHandler):
    """containerd's methods over data that a test puts in."""

    def __init__(self) -> None:
        self.containers: dict[str, list[containers_pb2.Container]] = {}
        self.images: dict[str, list[images_pb2.Image]] = {}
        self.asked: list[tuple[str, str]] = []
        self.filters: list[str] = []
        self.silent: set[str] = set()
        self.failing: dict[str, grpc.StatusCode] = {}
        self.garbage: set[str] = set()
        self.release = threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        name = details.method.rpartition("/")[2]
        metadata = dict(details.invocation_metadata)
        key = details.method.split(".")[2] + "/" + name
        namespace = str(metadata.get("containerd-namespace", ""))
        self.asked.append((key, namespace))

        def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.prepare(key, namespace, context)
            if key in self.garbage:
                return b"\xff\xff\xff"
            return self.answer(key, namespace, request, context)

        def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            self.filters.extend(containers_pb2.ListContainersRequest.FromString(request).filters)
            for container in self.containers[namespace]:
                yield containers_pb2.ListContainerMessage(container=container).SerializeToString()
            self.prepare(key, namespace, context)
            if key in self.garbage:
                yield b"\xff\xff\xff"

        if name == "ListStream":
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    def prepare(self, key: str, namespace: str, context: grpc.ServicerContext) -> None:
        for word in (key, f"{key} {namespace}"):
            if word in self.silent:
                assert self.release.wait(PATIENT_S)
            if word in self.failing:
                context.abort(self.failing[word], "on purpose")

    def answer(
        self, key: str, namespace: str, request: bytes, context: grpc.ServicerContext
    ) -> bytes:
        if key == "version/Version":
            return version_pb2.VersionResponse(version="v2.1.9").SerializeToString()
        if key == "namespaces/List":
            found = [namespaces_pb2.Namespace(name=name) for name in self.containers]
            return namespaces_pb2.ListNamespacesResponse(namespaces=found).SerializeToString()
        if key == "images/List":
            images = self.images.get(namespace, [])
            return images_pb2.ListImagesResponse(images=images).SerializeToString()
        assert key == "containers/Get", key
        wanted = containers_pb2.GetContainerRequest.FromString(request).id
        for container in self.containers[namespace]:
            if container.id == wanted:
                found_one = containers_pb2.GetContainerResponse(container=container)
                return found_one.SerializeToString()
        context.abort(grpc.StatusCode.NOT_FOUND, f'container "{wanted}": not found')
        raise AssertionError


def container(name: str) -> containers_pb2.Container:
    message = containers_pb2.Container(id=name, image="docker.io/a/b:1")
    message.created_at.FromSeconds(1_700_000_000)
    message.spec.value = b'{"ociVersion": "1.2"}'
    return message


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeContainerd]:
    handler = FakeContainerd()
    with serving(handler, tmp_path / "c.sock"):
        yield handler


@contextlib.contextmanager
def serving(handler: FakeContainerd, path: Path) -> Iterator[None]:
    with ThreadPoolExecutor(max_workers=8) as workers:
        server = grpc.server(workers, handlers=(handler,))
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield
        finally:
            handler.release.set()
            server.stop(grace=None).wait(PATIENT_S)


def endpoint(path: Path) -> Endpoint:
    return Endpoint(kind="containerd", address=str(path), origin="/run/containerd")


def observe(path: Path, deadlines: Deadlines = PATIENT, **wanted: object) -> Observation:
    backend = ContainerdBackend.connect(endpoint(path), deadlines)
    try:
        return backend.observe(targets(**wanted))  # type: ignore[arg-type]
    finally:
        backend.close()
        backend.close()


def only_gap(observation: Observation) -> Gap:
    (gap,) = observation.gaps
    return gap


def test_observe_asks_version_first_and_each_namespace_once(daemon: FakeContainerd, tmp_path: Path):
    daemon.containers = {"default": [container("c1")], "k8s.io": [], "moby": [container("c1")]}
    found = observe(tmp_path / "c.sock")
    assert [(c.ref.namespace, c.ref.id) for c in found.containers] == [
        ("default", "c1"),
        ("moby", "c1"),
    ]
    assert {c.ref.origin for c in found.containers} == {"/run/containerd"}
    assert found.gaps == ()
    assert found.endpoint.version == "2.1.9"
    assert found.endpoint.state is EndpointState.OK
    assert found.endpoint.connect_ms is not None
    assert daemon.asked == [
        ("version/Version", ""),
        ("namespaces/List", ""),
        ("containers/ListStream", "default"),
        ("containers/ListStream", "k8s.io"),
        ("containers/ListStream", "moby"),
    ]
    assert naive_times(found) == []


def test_observe_empty_daemon_has_no_gap(daemon: FakeContainerd, tmp_path: Path):
    found = observe(tmp_path / "c.sock")
    assert (found.containers, found.gaps) == ((), ())
    assert found.endpoint.state is EndpointState.OK


def test_observe_two_thousand_containers_is_complete(daemon: FakeContainerd, tmp_path: Path):
    many = [container(f"c{number}") for number in range(2000)]
    for message in many:
        message.spec.value = b"x" * 4000
    daemon.containers = {"default": many}
    found = observe(tmp_path / "c.sock")
    assert len(found.containers) == 2000
    assert found.gaps == ()


def test_observe_images_only_when_needed(daemon: FakeContainerd, tmp_path: Path):
    daemon.containers = {"default": []}
    daemon.images = {"default": [images_pb2.Image(name="docker.io/a/b:1")]}
    found = observe(tmp_path / "c.sock", needs=frozenset({"images"}))
    assert [i.image_ref for i in found.images] == ["docker.io/a/b:1"]
    assert observe(tmp_path / "c.sock").images == ()


def test_observe_scope_asks_only_its_namespace(daemon: FakeContainerd, tmp_path: Path):
    daemon.containers = {"default": [container("c1"), container("c2")], "moby": [container("c1")]}
    ref = Ref(origin="/run/containerd", namespace="default", id="c1")
    found = observe(tmp_path / "c.sock", scope=(ref,))
    assert [c.ref for c in found.containers] == [ref]
    assert daemon.filters == ["id==c1"]
    assert ("containers/ListStream", "moby") not in daemon.asked


def test_observe_failing_namespace_spares_the_next(daemon: FakeContainerd, tmp_path: Path):
    daemon.containers = {"a": [container("c1")], "b": [container("c2")]}
    daemon.failing = {"containers/ListStream a": grpc.StatusCode.INTERNAL}
    found = observe(tmp_path / "c.sock")
    assert [c.ref.id for c in found.containers] == ["c1", "c2"]
    assert (only_gap(found).subject, only_gap(found).reason) == ("a", Reason.MALFORMED)
    assert found.endpoint.state is EndpointState.MALFORMED


def test_observe_silence_midway_keeps_what_arrived(daemon: FakeContainerd, tmp_path: Path):
    daemon.containers = {"a": [container("c1")], "b": [container("c2")]}
    daemon.failing = {"containers/ListStream a": grpc.StatusCode.DEADLINE_EXCEEDED}
    found = observe(tmp_path / "c.sock")
    assert [c.ref.id for c in found.containers] == ["c1"]
    assert [(g.subject, g.reason) for g in found.gaps] == [
        ("a", Reason.SILENT),
        ("b", Reason.SILENT),
    ]
    assert found.endpoint.state is EndpointState.SILENT
    assert ("containers/ListStream", "b") not in daemon.asked


def test_observe_silent_daemon_is_asked_nothing_more(daemon: FakeContainerd, tmp_path: Path):
    daemon.silent = {"version/Version"}
    found = observe(tmp_path / "c.sock", HASTY)
    assert only_gap(found).reason is Reason.SILENT
    assert found.endpoint.state is EndpointState.SILENT
    assert found.endpoint.asked == ("Version",)


@pytest.mark.parametrize("method", ["version/Version", "namespaces/List", "containers/ListStream"])
def test_observe_garbage_is_malformed(daemon: FakeContainerd, tmp_path: Path, method: str):
    daemon.containers = {"default": [container("c1")]}
    daemon.garbage = {method}
    found = observe(tmp_path / "c.sock")
    assert only_gap(found).reason is Reason.MALFORMED
    assert "not protobuf" in only_gap(found).detail
    assert found.endpoint.state is EndpointState.MALFORMED


@pytest.mark.parametrize(
    ("code", "reason", "state"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, Reason.DENIED, EndpointState.DENIED),
        (grpc.StatusCode.UNAVAILABLE, Reason.REFUSED, EndpointState.DEAD),
        (grpc.StatusCode.UNIMPLEMENTED, Reason.MALFORMED, EndpointState.MALFORMED),
    ],
)
def test_observe_errors_of_the_first_answer(
    daemon: FakeContainerd,
    tmp_path: Path,
    code: grpc.StatusCode,
    reason: Reason,
    state: EndpointState,
):
    daemon.failing = {"version/Version": code}
    found = observe(tmp_path / "c.sock")
    assert (only_gap(found).reason, found.endpoint.state) == (reason, state)


def test_observe_no_grpc_server_is_malformed(tmp_path: Path):
    path = tmp_path / "c.sock"

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

    with raw_server(str(path), answer):
        found = observe(path)
    assert only_gap(found).reason is Reason.MALFORMED


def test_observe_hang_up_is_refused(tmp_path: Path):
    path = tmp_path / "c.sock"
    with raw_server(str(path), lambda connection: None):
        found = observe(path)
    assert only_gap(found).reason is Reason.REFUSED


def test_observe_nobody_listens_or_no_socket_is_refused(tmp_path: Path):
    path = tmp_path / "c.sock"
    assert only_gap(observe(path)).reason is Reason.REFUSED
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    found = observe(path)
    assert (only_gap(found).reason, found.endpoint.state) == (Reason.REFUSED, EndpointState.DEAD)


def test_observe_again_after_the_daemon_restarted(tmp_path: Path):
    path = tmp_path / "c.sock"
    backend = ContainerdBackend.connect(endpoint(path), PATIENT)
    for name in ("c1", "c2"):
        handler = FakeContainerd()
        handler.containers = {"default": [container(name)]}
        with serving(handler, path):
            found = backend.observe(targets())
            if found.gaps:
                found = backend.observe(targets())
            assert [c.ref.id for c in found.containers] == [name]
        path.unlink(missing_ok=True)
    backend.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as directory:
        path = directory / "c.sock"
        with raw_server(str(path), lambda connection: None):
            path.chmod(0o660)
            with as_nobody():
                found = observe(path)
    assert only_gap(found).reason is Reason.DENIED
    assert f"{path} belongs to root:root, mode 0660" in only_gap(found).detail
    assert found.endpoint.state is EndpointState.DENIED


def test_document_has_the_decoded_spec(daemon: FakeContainerd, tmp_path: Path):
    daemon.containers = {"moby": [container("c1")]}
    backend = ContainerdBackend.connect(endpoint(tmp_path / "c.sock"), PATIENT)
    document = backend.document(Ref(origin="o", namespace="moby", id="c1"), targets())
    assert document["spec"] == {"ociVersion": "1.2"}
    with pytest.raises(BackendError, match="not found"):
        backend.document(Ref(origin="o", namespace="moby", id="c2"), targets())
    backend.close()
