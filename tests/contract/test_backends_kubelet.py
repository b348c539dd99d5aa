"""A kubelet's directories that the test makes, and a health endpoint of its own."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtscope.backends import kubelet
from rtscope.backends.kubelet import KubeletBackend, pods
from rtscope.config.deadlines import Deadlines
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Daemon
from rtscope.model.refs import ProcessKey
from rtscope.model.state import EndpointState, Reason
from tests.contract.backend_cases import PATIENT, as_nobody, open_directory, targets

DATA = Path(__file__).parents[1] / "data/kubelet"
UID = "0b1c8c39-59d5-4ee0-9b44-1d8fbbbd9f4e"
STATIC_UID = "0123456789abcdef" * 2
KEY = ProcessKey(pid=os.getpid(), start=1)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's directories: two pods, one of them static."""
    monkeypatch.setattr(pods, "_POD_LOGS", str(tmp_path / "log/pods"))
    monkeypatch.setattr(pods, "_CONTAINER_LOGS", str(tmp_path / "log/containers"))
    monkeypatch.setattr(kubelet, "_CONFIGS", (str(tmp_path / "kubelet/config.yaml"),))
    for path in (
        f"kubelet/pods/{UID}/containers/app",
        f"kubelet/pods/{UID}/containers/side",
        f"kubelet/pods/{UID}/volumes/kubernetes.io~secret/token",
        f"kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/tmp",
        f"kubelet/pods/{STATIC_UID}/containers/etcd",
        "kubelet/pods/lost+found",
        "kubelet/pki",
        f"log/pods/shop_web_{UID}",
        f"log/pods/kube-system_etcd-n1_{STATIC_UID}",
        "log/containers",
        "manifests",
    ):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / f"log/containers/web_shop_app-{'a' * 64}.log").symlink_to("/nowhere")
    (tmp_path / "manifests/etcd.yaml").write_text("metadata:\n  name: etcd\n")
    (tmp_path / "manifests/.hidden.yaml").write_text("metadata:\n  name: hidden\n")
    (tmp_path / "kubelet/pki/kubelet-client-current.pem").write_bytes(
        (DATA / "client.pem").read_bytes()
    )
    (tmp_path / "kubelet/config.yaml").write_text(f"staticPodPath: {tmp_path}/manifests\n")
    return tmp_path


def observe(
    node: Path, daemon: Daemon | None = None, deadlines: Deadlines = PATIENT
) -> Observation:
    endpoint = Endpoint(
        kind="kubelet",
        address=str(node / "kubelet"),
        daemon=None if daemon is None else daemon.key,
    )
    backend = KubeletBackend.connect(endpoint, deadlines)
    try:
        found = backend.observe(targets())
        if daemon is None:
            return found
        kernel = replace(found, kind="procfs", kubelet_pods=(), daemons=(daemon,))
        return backend.observe(targets(kernel=kernel))
    finally:
        backend.close()
        backend.close()


def daemon_with(port: int | str, **facts: Any) -> Daemon:
    options = {"root": "/x", "healthz_port": str(port)}
    return Daemon(key=KEY, kind="kubelet", options=options, **facts)


@contextlib.contextmanager
def health(answer: bytes) -> Iterator[int]:
    """A listener on the loopback that gives every connection the same answer, or none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection = listener.accept()[0]
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
                    while connection.recv(65536):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)
            assert not thread.is_alive()


def test_observe_pods(node: Path):
    found = observe(node)
    assert found.gaps == ()
    assert found.endpoint.state is EndpointState.OK
    static, pod = found.kubelet_pods
    assert (pod.uid, pod.name, pod.namespace, pod.is_static) == (UID, "web", "shop", False)
    assert pod.path == f"{node}/kubelet/pods/{UID}"
    assert pod.containers == ("app", "side")
    assert pod.volumes == ("kubernetes.io~empty-dir/tmp", "kubernetes.io~secret/token")
    assert pod.details == {
        "log_directory": f"{node}/log/pods/shop_web_{UID}",
        "container_id.app": "a" * 64,
    }
    assert (static.uid, static.name, static.is_static) == (STATIC_UID, "etcd-n1", True)
    assert static.details["manifest"] == f"{node}/manifests/etcd.yaml"
    assert found.daemons == ()


def test_observe_mounted_volumes(node: Path, monkeypatch: pytest.MonkeyPatch):
    base = f"{node}/kubelet/pods/{UID}/volumes"
    points = frozenset(
        {f"{base}/kubernetes.io~secret/token", f"{base}/kubernetes.io~empty-dir/tmp/mount"}
    )
    monkeypatch.setattr(pods.PodReader, "_mount_points", lambda _self: points)
    pod = observe(node).kubelet_pods[1]
    assert pod.details["mounted_volumes"] == " ".join(pod.volumes)


def test_observe_running_kubelet(node: Path):
    with health(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as port:
        found = observe(node, daemon_with(port))
    assert found.gaps == ()
    (daemon,) = found.daemons
    assert daemon.options["healthz"] == "ok"
    assert daemon.options["root"] == "/x"
    assert daemon.options["client_certificate_not_after"] == "2027-11-27T05:01:37+00:00"
    assert daemon.options["static_manifests"] == f"{node}/manifests/etcd.yaml"
    assert f"GET tcp://127.0.0.1:{port}/healthz" in found.endpoint.asked


def test_observe_unhealthy_kubelet(node: Path):
    answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nbad"
    with health(answer) as port:
        (daemon,) = observe(node, daemon_with(port)).daemons
    assert daemon.options["healthz"] == "HTTP 500: bad"


def test_observe_silent_health(node: Path):
    with health(b"") as port:
        found = observe(node, daemon_with(port), replace(PATIENT, shim_s=0.2))
    (gap,) = found.gaps
    assert (gap.missing, gap.subject, gap.reason) == ("healthz", "healthz", Reason.SILENT)
    assert found.endpoint.state is EndpointState.OK
    assert len(found.kubelet_pods) == 2
    assert "healthz" not in found.daemons[0].options


def test_observe_nobody_answers_for_health(node: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (gap,) = observe(node, daemon_with(port)).gaps
    assert gap.reason is Reason.REFUSED


@pytest.mark.parametrize(
    ("letter", "reason"), [("T", Reason.SILENT), ("t", Reason.SILENT), ("D", Reason.BLOCKED)]
)
def test_observe_stopped_kubelet_is_not_asked(node: Path, letter: str, reason: Reason):
    found = observe(node, daemon_with(1, process_state=letter))
    (gap,) = found.gaps
    assert gap.reason is reason
    assert not any("healthz" in request for request in found.endpoint.asked)


def test_observe_disabled_health_is_not_asked(node: Path):
    (node / "kubelet/config.yaml").write_text("healthzPort: 0\n")
    daemon = Daemon(key=KEY, kind="kubelet")
    found = observe(node, daemon)
    assert found.gaps == ()
    assert not any("healthz" in request for request in found.endpoint.asked)


def test_observe_empty_and_absent(tmp_path: Path):
    (tmp_path / "kubelet/pods").mkdir(parents=True)
    found = observe(tmp_path)
    assert (found.kubelet_pods, found.gaps) == ((), ())
    found = observe(tmp_path / "none")
    assert [gap.reason for gap in found.gaps] == [Reason.ABSENT]
    assert found.endpoint.state is EndpointState.ABSENT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as root:
        (root / "kubelet/pods").mkdir(parents=True)
        (root / "kubelet/pods").chmod(0o700)
        with as_nobody():
            found = observe(root)
    (gap,) = found.gaps
    assert (gap.reason, found.endpoint.state) == (Reason.DENIED, EndpointState.DENIED)
    assert "root:root, mode 0700" in gap.detail
