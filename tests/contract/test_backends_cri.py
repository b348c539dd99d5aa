"""The cri backend against servers that answer as CRI-O, cri-dockerd and containerd do."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from rtscope._pb import cri_pb2 as pb
from rtscope.backends.cri import CriBackend
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Pod
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Layer, Reason, State
from tests.contract.backend_cases import (
    HASTY,
    PATIENT,
    as_nobody,
    naive_times,
    open_directory,
    targets,
)
from tests.contract.cri_server import POD_LABELS, FakeCri, cri_dockerd, crio, serving
from tests.contract.grpc_servers import raw_server

POD, CONTAINER = "a" * 64, "b" * 64


def observe_at(
    path: Path,
    *,
    needs: frozenset[str] = frozenset(),
    deadlines: Deadlines = PATIENT,
    may_thread: bool = True,
    **facts: Any,
) -> Observation:
    scope = facts.pop("scope", None)
    limits = facts.pop("limits", deadlines)
    backend = CriBackend.connect(Endpoint(kind="cri", address=str(path), **facts), deadlines)
    wanted = replace(targets(needs=needs, scope=scope), may_thread=may_thread, deadlines=limits)
    try:
        return backend.observe(wanted)
    finally:
        backend.close()
        backend.close()


def observe(tmp_path: Path, fake: FakeCri, **wanted: Any) -> Observation:
    path = tmp_path / "cri.sock"
    with serving(fake, str(path)):
        return observe_at(path, **wanted)


def test_observe_crio(tmp_path: Path):
    found = observe(tmp_path, crio(), origin="/run/containers")
    assert found.gaps == ()
    assert found.endpoint.state is EndpointState.OK
    assert found.endpoint.version == "cri-o 1.37.0"
    assert found.endpoint.asked == ("Version", "ListPodSandbox", "ListContainers")
    (sandbox,) = found.sandboxes
    assert sandbox.ref == Ref(origin="/run/containers", namespace="", id=POD)
    assert (sandbox.pod_name, sandbox.pod_namespace) == ("web", "shop")
    assert (sandbox.state, sandbox.state_raw) == (State.RUNNING, "SANDBOX_READY")
    assert (sandbox.pid, sandbox.attempt, sandbox.runtime_handler) == (None, 1, None)
    (record,) = found.containers
    uid = POD_LABELS["io.kubernetes.pod.uid"]
    assert record.pod == Pod(name="web", namespace="shop", uid=uid, sandbox_id=POD)
    assert (record.layer, record.name, record.attempt) == (Layer.ENGINE, "app", 2)
    assert (record.state, record.state_raw) == (State.RUNNING, "RUNNING")
    assert (record.below, record.below_namespace, record.is_sandbox) == (None, None, False)
    assert record.pid is None
    assert naive_times(found) == []


def test_observe_cri_dockerd(tmp_path: Path):
    found = observe(tmp_path, cri_dockerd(), needs=frozenset({"specs"}))
    (record,) = found.containers
    assert (record.image_ref, record.pid, record.oci_runtime) == ("busybox:1", None, None)
    assert (record.ref.namespace, record.below) == ("", None)
    assert found.sandboxes[0].pid is None
    assert found.gaps == ()
    assert found.endpoint.version == "docker 28.5.2"


def test_observe_containerd_has_its_namespace(tmp_path: Path):
    fake = crio()
    fake.version.runtime_name = "containerd"
    found = observe(tmp_path, fake)
    (record,) = found.containers
    assert record.ref == Ref(origin=str(tmp_path / "cri.sock"), namespace="k8s.io", id=CONTAINER)
    assert (record.below, record.below_namespace) == (str(tmp_path / "cri.sock"), "k8s.io")
    found = observe(tmp_path, fake, origin="/s", namespace="other", below="/b", owner_uid=5)
    (record,) = found.containers
    assert (record.ref.origin, record.ref.namespace) == ("/s", "other")
    assert (record.below, record.below_namespace, record.store_uid) == ("/b", "other", 5)


def test_observe_empty_daemon_has_no_gap(tmp_path: Path):
    found = observe(tmp_path, FakeCri("cri-o", "1.37.0"))
    assert (found.containers, found.sandboxes, found.gaps) == ((), (), ())
    assert found.endpoint.state is EndpointState.OK


@pytest.mark.parametrize("may_thread", [True, False])
def test_observe_specs_asks_every_record(tmp_path: Path, may_thread: bool):
    fake = crio()
    fake.info[POD] = {"pid": 99}
    for number in range(30):
        fake.add_container(f"{number:064d}", POD)
    found = observe(tmp_path, fake, needs=frozenset({"specs"}), may_thread=may_thread)
    assert found.gaps == ()
    assert found.sandboxes[0].pid == 99
    by_id = {record.ref.id: record for record in found.containers}
    assert len(by_id) == 31
    assert (by_id[CONTAINER].pid, by_id[CONTAINER].command) == (4711, "sleep 9")
    assert by_id[CONTAINER].cgroup_path == "x.slice:crio:b"
    assert all(record.log_path and record.started_at for record in found.containers)
    assert fake.asked.count("ContainerStatus") == 31


def test_observe_finished_at_asks_only_what_has_ended(tmp_path: Path):
    fake = crio()
    fake.add_container("e" * 64, POD, state=pb.CONTAINER_EXITED)
    found = observe(tmp_path, fake, needs=frozenset({"finished_at"}))
    by_id = {record.ref.id: record for record in found.containers}
    ended = by_id["e" * 64]
    assert (ended.exit_code, ended.oom_killed, ended.exit_reason) == (137, True, "OOMKilled")
    assert ended.finished_at is not None
    assert ended.log_path == f"/var/log/pods/{'e' * 64}/0.log"
    assert by_id[CONTAINER].started_at is None
    assert fake.asked.count("ContainerStatus") == 1
    assert naive_times(found) == []


def test_observe_container_removed_meanwhile_is_vanished(tmp_path: Path):
    fake = crio()

    def gone(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such container")

    fake.overrides["ContainerStatus"] = gone
    found = observe(tmp_path, fake, needs=frozenset({"log_path"}))
    (gap,) = found.gaps
    assert (gap.subject, gap.reason) == (CONTAINER, Reason.VANISHED)
    assert [record.ref.id for record in found.containers] == [CONTAINER]


def test_observe_pod_removed_between_the_lists_leaves_its_labels(tmp_path: Path):
    fake = crio()
    fake.sandboxes.clear()
    (record,) = observe(tmp_path, fake).containers
    assert record.pod is not None
    assert (record.pod.name, record.pod.sandbox_id) == ("web", POD)


def test_observe_scope(tmp_path: Path):
    fake = crio()
    fake.add_container("e" * 64, POD)
    scope = (Ref(origin="/o", namespace="", id="e" * 64), Ref(origin="/x", namespace="", id=POD))
    found = observe(tmp_path, fake, origin="/o", scope=scope)
    assert [record.ref.id for record in found.containers] == ["e" * 64]
    assert found.sandboxes == ()


def test_observe_no_cri_plugin_is_quiet(tmp_path: Path):
    class Other(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> None:
            return None

    path = tmp_path / "c.sock"
    with serving(Other(), str(path)):
        found = observe_at(path)
    (gap,) = found.gaps
    assert (gap.reason, gap.detail) == (Reason.UNSUPPORTED, "containerd has no CRI plugin")
    assert found.endpoint.state is EndpointState.ABSENT


def test_observe_lists_that_fail_leave_what_came(tmp_path: Path):
    def broken(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNKNOWN, "server is not initialized yet")

    fake = crio()
    fake.overrides["ListPodSandbox"] = broken
    found = observe(tmp_path, fake)
    assert [gap.missing for gap in found.gaps] == ["sandboxes"]
    assert [record.ref.id for record in found.containers] == [CONTAINER]
    fake.overrides["ListContainers"] = broken
    found = observe(tmp_path, fake)
    assert [gap.missing for gap in found.gaps] == ["sandboxes", "containers"]
    assert "not initialized" in found.gaps[1].detail
    assert found.endpoint.state is EndpointState.MALFORMED


@pytest.mark.parametrize("method", ["Version", "ListPodSandbox", "ListContainers"])
def test_observe_invalid_protobuf_is_malformed(tmp_path: Path, method: str):
    fake = crio()
    fake.overrides[method] = lambda _request, _context: b"\xff\xff\xff"
    found = observe(tmp_path, fake)
    (gap,) = found.gaps
    assert (gap.reason, found.endpoint.state) == (Reason.MALFORMED, EndpointState.MALFORMED)
    assert "not protobuf" in gap.detail


@pytest.mark.parametrize("method", ["Version", "ListContainers"])
def test_observe_silent_server(tmp_path: Path, method: str):
    fake = crio()

    def hang(_request: Any, _context: grpc.ServicerContext) -> Any:
        fake.release.wait(30)
        return b""

    fake.overrides[method] = hang
    found = observe(tmp_path, fake, deadlines=replace(PATIENT, first_answer_s=0.2, request_s=0.2))
    assert [gap.reason for gap in found.gaps] == [Reason.SILENT]
    assert found.endpoint.state is EndpointState.SILENT


def test_observe_silent_details_leave_the_lists(tmp_path: Path):
    fake = crio()

    def hang(_request: Any, _context: grpc.ServicerContext) -> Any:
        fake.release.wait(30)
        return b""

    fake.overrides["ContainerStatus"] = hang
    limits = replace(PATIENT, request_s=0.3)
    found = observe(tmp_path, fake, needs=frozenset({"log_path"}), limits=limits)
    (gap,) = found.gaps
    assert (gap.subject, gap.reason) == (CONTAINER, Reason.SILENT)
    assert len(found.containers) == len(found.sandboxes) == 1
    assert found.endpoint.state is EndpointState.OK


Handler = Callable[[socket.socket], None]


def test_observe_http_server_is_malformed(tmp_path: Path):
    def http(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    path = tmp_path / "h.sock"
    with raw_server(str(path), http):
        found = observe_at(path)
    (gap,) = found.gaps
    assert gap.reason is Reason.MALFORMED
    assert "HTTP/1" in gap.detail


def test_observe_nobody_listens_is_dead(tmp_path: Path):
    found = observe_at(tmp_path / "none")
    assert [gap.reason for gap in found.gaps] == [Reason.REFUSED]
    assert found.endpoint.state is EndpointState.DEAD


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as root, serving(crio(), str(root / "c.sock")):
        (root / "c.sock").chmod(0o660)
        with as_nobody():
            found = observe_at(root / "c.sock", deadlines=HASTY)
    (gap,) = found.gaps
    assert (gap.reason, found.endpoint.state) == (Reason.DENIED, EndpointState.DENIED)
    assert "root:root, mode 0660" in gap.detail


def test_document_is_the_verbose_status(tmp_path: Path):
    fake = crio()
    path = tmp_path / "c.sock"
    with serving(fake, str(path)):
        backend = CriBackend.connect(Endpoint(kind="cri", address=str(path)), PATIENT)
        ref = Ref(origin=str(path), namespace="", id=CONTAINER)
        document = backend.document(ref, targets())
        assert (document["id"], document["info"]["pid"]) == (CONTAINER, 4711)
        assert document["state"] == "CONTAINER_RUNNING"
        assert backend.document(replace(ref, id=POD), targets())["metadata"]["name"] == "web"
        with pytest.raises(BackendError, match="not found"):
            backend.document(replace(ref, id="nope"), targets())
        backend.close()
