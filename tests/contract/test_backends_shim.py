"""The shim backend against small real ttrpc servers, each with a bundle of its own."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtscope._pb import shim_v2_pb2, task_types_pb2, ttrpc_pb2
from rtscope.backends.shim import ShimBackend, bundles, fanout
from rtscope.backends.shim.ttrpc import (
    REQUEST,
    RESPONSE,
    Frame,
    FrameReader,
    encode_frame,
)
from rtscope.config.deadlines import Deadlines
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Node, Observation
from rtscope.model.records import Daemon, Process, Shim
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import EndpointState, Reason, State
from tests.contract.backend_cases import (
    HASTY,
    PATIENT,
    as_nobody,
    naive_times,
    open_directory,
    targets,
)
from tests.contract.grpc_servers import PATIENT_S, raw_server, wait_until

TASK_V2 = "containerd.task.v2.Task"
TASK_V3 = "containerd.task.v3.Task"
LINUX_V1 = "containerd.runtime.linux.shim.v1.Shim"
UNIMPLEMENTED = 12
NOT_FOUND = 5
END = 1_700_000_000

Handler = Callable[[socket.socket], None]


class FakeShim:
    """A shim's answers: the tasks that it has, by id, for one version of the API."""

    def __init__(self, service: str, tasks: dict[str, str]) -> None:
        self.service = service
        self.tasks = tasks
        self.asked: list[tuple[str, str]] = []
        self.connections = 0

    def __call__(self, connection: socket.socket) -> None:
        self.connections += 1
        reader = FrameReader()
        while data := connection.recv(65536):
            for frame in reader.feed(data):
                assert frame.kind == REQUEST
                assert frame.stream_id % 2 == 1
                answer = self.answer(ttrpc_pb2.Request.FromString(frame.payload))
                payload = answer.SerializeToString()
                connection.sendall(encode_frame(Frame(frame.stream_id, RESPONSE, 0, payload)))

    def answer(self, request: ttrpc_pb2.Request) -> ttrpc_pb2.Response:
        assert request.method == "State"
        assert request.timeout_nano > 0
        wanted = shim_v2_pb2.StateRequest.FromString(request.payload).id
        self.asked.append((request.service, wanted))
        response = ttrpc_pb2.Response()
        if request.service != self.service:
            response.status.code = UNIMPLEMENTED
        elif wanted not in self.tasks:
            response.status.code = NOT_FOUND
            response.status.message = "no such container"
        else:
            state = shim_v2_pb2.StateResponse(id=wanted, pid=4711, bundle=f"/bundle/{wanted}")
            state.status = task_types_pb2.Status.Value(self.tasks[wanted])
            if self.tasks[wanted] == "STOPPED":
                state.exit_status = 137
                state.exited_at.FromSeconds(END)
            response.payload = state.SerializeToString()
        return response


class Place:
    """A state directory with bundles, and the shims behind their sockets."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.stack = contextlib.ExitStack()
        self.shims: list[Shim] = []

    def bundle(self, name: str, namespace: str = "default", kind: str = bundles.V2) -> Path:
        path = self.state / kind / namespace / name
        path.mkdir(parents=True)
        (path / "init.pid").write_text("4711")
        return path

    def bootstrap(self, path: Path, address: str, version: int = 3, **more: object) -> None:
        document = {"version": version, "address": address, "protocol": "ttrpc", **more}
        (path / "bootstrap.json").write_text(json.dumps(document))

    def listen(self, name: str, handler: Handler) -> str:
        path = self.state / f"{name}.sock"
        self.stack.enter_context(raw_server(str(path), handler))
        return f"unix://{path}"

    def ref(self, name: str, namespace: str = "default") -> Ref:
        return Ref(origin=str(self.state), namespace=namespace, id=name)

    def shim(self, path: Path, pid: int, **fields: object) -> Shim:
        made = Shim(
            key=ProcessKey(pid=pid, start=1),
            **{"kind": "runc-v2", "bundle_dir": str(path), **fields},  # type: ignore[arg-type]
        )
        self.shims.append(made)
        return made

    def kernel(self, *processes: Process) -> Observation:
        now = datetime.now(UTC)
        return Observation(
            source="procfs:///proc",
            kind="procfs",
            node=Node(hostname="test"),
            started_at=now,
            taken_at=now,
            taken_boottime_ns=0,
            endpoint=Endpoint(kind="procfs", address="/proc"),
            shims=tuple(self.shims),
            processes=processes,
            daemons=(
                Daemon(
                    key=ProcessKey(pid=1, start=1),
                    kind="containerd",
                    options={"state": str(self.state), "address": "/c.sock"},
                ),
            ),
        )

    def observe(self, deadlines: Deadlines = PATIENT, **wanted: object) -> Observation:
        backend = ShimBackend.connect(Endpoint(kind="shim", address="shims"), deadlines)
        try:
            kernel = wanted.pop("kernel", None) or self.kernel()
            return backend.observe(targets(kernel=kernel, **wanted))  # type: ignore[arg-type]
        finally:
            backend.close()
            backend.close()


@pytest.fixture(autouse=True)
def no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "DEFAULT_STATES", ())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.stack:
        yield made


def test_observe_task_v3_of_bootstrap_json(place: Place):
    path = place.bundle("c1")
    shim = FakeShim(TASK_V3, {"c1": "RUNNING"})
    place.bootstrap(path, place.listen("s", shim))
    (path / "options.json").write_text('{"binary_name": "/usr/bin/crun", "root": "/run/x"}')
    known = place.shim(path, 77)
    found = place.observe()
    (task,) = found.tasks
    assert (task.ref, task.state, task.state_raw) == (place.ref("c1"), State.RUNNING, "running")
    assert (task.pid, task.exit_code, task.finished_at) == (4711, None, None)
    assert (task.shim, task.bundle_dir) == (known.key, "/bundle/c1")
    (bundle,) = found.bundles
    status = path.stat()
    assert (bundle.device, bundle.inode) == (status.st_dev, status.st_ino)
    assert (bundle.path, bundle.init_pid) == (str(path), 4711)
    assert (bundle.shim_api, bundle.runtime_type) == ("task.v3", "io.containerd.runc.v2")
    assert (bundle.oci_runtime, bundle.oci_root) == ("/usr/bin/crun", "/run/x/default")
    assert bundle.spec is None
    assert found.gaps == ()
    assert found.endpoint.state is EndpointState.OK
    assert shim.asked == [(TASK_V3, "c1")]


def test_observe_task_v2_of_an_address_file(place: Place):
    path = place.bundle("c1", namespace="moby")
    shim = FakeShim(TASK_V2, {"c1": "STOPPED"})
    (path / "address").write_text(place.listen("s", shim))
    found = place.observe()
    (task,) = found.tasks
    assert (task.state, task.exit_code) == (State.STOPPED, 137)
    assert task.finished_at == datetime.fromtimestamp(END, UTC)
    assert shim.asked == [(TASK_V2, "c1")]
    assert naive_times(found) == []


def test_observe_legacy_shim(place: Place):
    path = place.bundle("c1", kind=bundles.V1)
    shim = FakeShim(LINUX_V1, {"c1": "PAUSED"})
    (path / "address").write_text(place.listen("s", shim))
    place.shim(path, 77, kind="linux-v1")
    found = place.observe()
    assert [t.state for t in found.tasks] == [State.PAUSED]
    assert [b.runtime_type for b in found.bundles] == ["io.containerd.runtime.v1.linux"]
    assert [b.oci_root for b in found.bundles] == ["/run/containerd/runc/default"]
    assert shim.asked == [(LINUX_V1, "c1")]


def test_observe_abstract_address_without_a_scheme(place: Place):
    path = place.bundle("c1")
    name = f"{place.state}/abstract.sock"
    (path / "address").write_text(name)
    place.stack.enter_context(raw_server("\0" + name, FakeShim(TASK_V2, {"c1": "RUNNING"})))
    assert [t.ref.id for t in place.observe().tasks] == ["c1"]


def test_observe_pod_is_one_connection(place: Place):
    tasks = {"sandbox": "RUNNING", "app": "RUNNING", "init": "STOPPED"}
    shim = FakeShim(TASK_V2, tasks)
    address = place.listen("s", shim)
    for name in tasks:
        (place.bundle(name, "k8s.io") / "address").write_text(address)
    known = place.shim(place.state / bundles.V2 / "k8s.io" / "sandbox", 77)
    found = place.observe()
    assert {t.ref.id for t in found.tasks} == set(tasks)
    assert {t.shim for t in found.tasks} == {known.key}
    assert {b.runtime_type for b in found.bundles} == {"io.containerd.runc.v2"}
    assert shim.connections == 1
    assert sorted(shim.asked) == sorted((TASK_V2, name) for name in tasks)


def test_observe_part_of_a_pod_knows_its_shim_by_its_init(place: Place):
    shim = FakeShim(TASK_V2, {"app": "RUNNING"})
    address = place.listen("s", shim)
    for name in ("sandbox", "app"):
        (place.bundle(name, "k8s.io") / "address").write_text(address)
    known = place.shim(place.state / bundles.V2 / "k8s.io" / "sandbox", 77, namespace="k8s.io")
    process = Process(
        key=ProcessKey(pid=4711, start=9), ppid=77, comm="x", state="S", shim=known.key
    )
    ref = place.ref("app", "k8s.io")
    (path,) = (place.state / bundles.V2 / "k8s.io" / "app",)
    (path / "config.json").write_text('{"process": {"args": ["nginx"]}}')
    found = place.observe(kernel=place.kernel(process), scope=(ref,))
    assert [(t.ref, t.shim) for t in found.tasks] == [(ref, known.key)]
    assert [b.spec for b in found.bundles] == [{"args": "nginx"}]
    assert shim.asked == [(TASK_V2, "app")]


def test_observe_other_version_is_tried_once(place: Place):
    path = place.bundle("c1")
    shim = FakeShim(TASK_V3, {"c1": "RUNNING"})
    (path / "address").write_text(place.listen("s", shim))
    found = place.observe()
    assert [t.ref.id for t in found.tasks] == ["c1"]
    assert found.gaps == ()
    assert shim.asked == [(TASK_V2, "c1"), (TASK_V3, "c1")]


def test_observe_neither_version_is_malformed(place: Place):
    path = place.bundle("c1")
    shim = FakeShim("other.Task", {"c1": "RUNNING"})
    place.bootstrap(path, place.listen("s", shim))
    (gap,) = place.observe().gaps
    assert (gap.subject, gap.missing, gap.reason) == ("c1", "task", Reason.MALFORMED)
    assert len(shim.asked) == 2


def test_observe_same_id_in_two_namespaces_stays_two(place: Place):
    for namespace, state in (("default", "RUNNING"), ("other", "PAUSED")):
        path = place.bundle("c1", namespace)
        place.bootstrap(path, place.listen(namespace, FakeShim(TASK_V3, {"c1": state})))
    found = place.observe()
    assert {(t.ref.namespace, t.state) for t in found.tasks} == {
        ("default", State.RUNNING),
        ("other", State.PAUSED),
    }


def test_observe_task_that_the_shim_does_not_know_vanished(place: Place):
    path = place.bundle("c1")
    place.bootstrap(path, place.listen("s", FakeShim(TASK_V3, {})))
    found = place.observe()
    (gap,) = found.gaps
    assert (gap.subject, gap.reason) == ("c1", Reason.VANISHED)
    assert len(found.bundles) == 1


def test_observe_slow_shim_delays_no_other(place: Place):
    names = {f"c{number}" for number in range(40)}
    others = [FakeShim(TASK_V3, {name: "RUNNING"}) for name in sorted(names)]
    slow = FakeShim(TASK_V3, {"a-slow": "RUNNING"})

    def answer_last(connection: socket.socket) -> None:
        wait_until(lambda: all(shim.asked for shim in others))
        slow(connection)

    place.bootstrap(place.bundle("a-slow"), place.listen("a-slow", answer_last))
    for shim in others:
        (name,) = shim.tasks
        place.bootstrap(place.bundle(name), place.listen(name, shim))
    found = place.observe()
    assert {t.ref.id for t in found.tasks} == {*names, "a-slow"}
    assert found.gaps == ()


def test_observe_silent_shim_is_a_gap_of_its_container(place: Place):
    release = threading.Event()

    def mute(connection: socket.socket) -> None:
        assert release.wait(PATIENT_S)

    path = place.bundle("mute")
    place.bootstrap(path, place.listen("mute", mute))
    place.shim(path, 77)
    found = place.observe(HASTY)
    release.set()
    (gap,) = found.gaps
    assert (gap.subject, gap.missing, gap.reason) == ("mute", "task", Reason.SILENT)
    assert gap.detail.startswith(f"shim 77 at unix://{place.state}/mute.sock: ")
    assert len(found.bundles) == 1
    assert found.endpoint.state is EndpointState.OK


def test_ask_all_more_silent_shims_than_slots_end_within_two_limits(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fanout, "MAX_AT_ONCE", 2)
    with contextlib.ExitStack() as listeners:
        for number in range(7):
            name = f"c{number}"
            listener = listeners.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(place.state / f"{name}.sock"))
            listener.listen(1)
            place.bootstrap(place.bundle(name), f"unix://{place.state}/{name}.sock")
        found = place.observe(HASTY)
    assert {g.subject for g in found.gaps} == {f"c{n}" for n in range(7)}
    assert {g.reason for g in found.gaps} == {Reason.SILENT}
    assert any("not asked" in g.detail for g in found.gaps)


@pytest.mark.parametrize(
    ("letter", "reason"), [("T", Reason.SILENT), ("t", Reason.SILENT), ("D", Reason.BLOCKED)]
)
def test_observe_stopped_or_blocked_shim_is_not_dialled(place: Place, letter: str, reason: Reason):
    path = place.bundle("c1")
    shim = FakeShim(TASK_V3, {"c1": "RUNNING"})
    place.bootstrap(path, place.listen("s", shim))
    place.shim(path, 77, process_state=letter)
    found = place.observe()
    (gap,) = found.gaps
    assert (gap.subject, gap.missing, gap.reason) == ("c1", "task", reason)
    assert "shim 77" in gap.detail
    assert f"state {letter}" in gap.detail
    assert shim.connections == 0
    assert len(found.bundles) == 1


def test_observe_dead_shim_is_refused(place: Place):
    path = place.bundle("gone")
    place.bootstrap(path, f"unix://{place.state}/none.sock")
    (path / "shim-binary-path").write_text("/usr/bin/containerd-shim-runc-v2")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.state / "left.sock"))
    place.bootstrap(place.bundle("left"), f"unix://{place.state}/left.sock")
    found = place.observe()
    assert {(g.subject, g.reason) for g in found.gaps} == {
        ("gone", Reason.REFUSED),
        ("left", Reason.REFUSED),
    }
    gone, left = found.bundles
    assert gone.runtime_type == "io.containerd.runc.v2"
    assert gone.oci_root == "/run/containerd/runc/default"
    assert (left.runtime_type, left.oci_root) == (None, None)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (lambda connection: None, Reason.REFUSED),
        (lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"), Reason.MALFORMED),
        (lambda connection: connection.sendall(b"\x00\x00\x00\x05\x00"), Reason.REFUSED),
        (
            lambda connection: connection.sendall(
                encode_frame(Frame(1, RESPONSE, 0, b"\xff\xff\xff"))
            ),
            Reason.MALFORMED,
        ),
        (
            lambda connection: connection.sendall(
                encode_frame(
                    Frame(1, RESPONSE, 0, ttrpc_pb2.Response(payload=b"\xff").SerializeToString())
                )
            ),
            Reason.MALFORMED,
        ),
        (lambda connection: connection.sendall(b"\x3f\xff\xff\xff" * 4), Reason.MALFORMED),
    ],
)
def test_observe_misbehaving_shim_is_a_gap_of_its_container(
    place: Place, handler: Handler, reason: Reason
):
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        handler(connection)

    place.bootstrap(place.bundle("bad"), place.listen("bad", answer))
    shim = FakeShim(TASK_V3, {"good": "RUNNING"})
    place.bootstrap(place.bundle("good"), place.listen("good", shim))
    found = place.observe()
    assert [t.ref.id for t in found.tasks] == ["good"]
    assert [(g.subject, g.reason) for g in found.gaps] == [("bad", reason)]


def test_observe_other_protocol_is_unsupported(place: Place):
    place.bootstrap(place.bundle("c1"), "unix:///x.sock", protocol="grpc")
    (gap,) = place.observe().gaps
    assert gap.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("content", ["", "{", "[]", '{"address": 5}', '{"version": 3}'])
def test_observe_bundle_that_names_no_socket(place: Place, content: str):
    (place.bundle("c1") / "bootstrap.json").write_text(content)
    found = place.observe()
    assert [(g.subject, g.reason) for g in found.gaps] == [("c1", Reason.ABSENT)]
    assert len(found.bundles) == 1


def test_observe_hostile_files_in_a_bundle_never_block_or_raise(place: Place):
    path = place.bundle("c1")
    (path / "init.pid").unlink()
    os.mkfifo(path / "init.pid")
    os.mkfifo(path / "bootstrap.json")
    (path / "address").symlink_to("/dev/zero")
    (path / "options.json").write_text('{"root": 5, "binary_name": []}')
    found = place.observe(needs=frozenset({"specs"}))
    (bundle,) = found.bundles
    assert (bundle.init_pid, bundle.shim_address, bundle.oci_root) == (None, None, None)
    assert {(g.missing, g.reason) for g in found.gaps} == {
        ("spec", Reason.ABSENT),
        ("task", Reason.ABSENT),
    }


def test_observe_users_state_directory_is_not_believed(place: Place):
    path = place.bundle("c1")
    shim = FakeShim(TASK_V3, {"c1": "RUNNING"})
    place.bootstrap(path, place.listen("s", shim))
    place.shim(path, 77, uid=65534)
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(place.state, 65534, 65534)
    found = place.observe()
    assert (found.bundles, found.tasks) == ((), ())
    assert shim.connections == 0


def test_observe_nested_shims_and_monitors_name_no_state_directory(place: Place):
    path = place.bundle("c1")
    nested = place.shim(path, 77, nested_in=5)
    monitor = place.shim(path, 78, kind="conmon")
    kernel = replace(place.kernel(), daemons=(), shims=(nested, monitor))
    found = place.observe(kernel=kernel)
    assert found.bundles == ()
    assert found.endpoint.state is EndpointState.ABSENT
    assert found.gaps == ()


def test_observe_shim_without_readable_directory_is_known_by_its_arguments(place: Place):
    path = place.bundle("c1")
    place.bootstrap(path, place.listen("s", FakeShim(TASK_V3, {"c1": "RUNNING"})))
    known = place.shim(
        path, 77, bundle_dir=None, namespace="default", id="c1", containerd_address="/c.sock"
    )
    assert [t.shim for t in place.observe().tasks] == [known.key]


def test_observe_no_kernel_and_no_state_is_absent():
    backend = ShimBackend.connect(Endpoint(kind="shim", address="shims"), PATIENT)
    found = backend.observe(targets())
    assert (found.bundles, found.gaps) == ((), ())
    assert found.endpoint.state is EndpointState.ABSENT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as directory:
        place = Place(directory)
        with place.stack:
            place.bootstrap(place.bundle("c1"), "unix:///x.sock")
            (directory / bundles.V2).chmod(0o700)
            with as_nobody():
                found = place.observe()
    (gap,) = found.gaps
    assert (gap.missing, gap.reason) == ("bundles", Reason.DENIED)
    assert "belongs to root:root, mode 0700" in gap.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_socket_is_a_gap_of_its_container():
    with open_directory() as directory:
        place = Place(directory)
        with place.stack:
            address = place.listen("s", FakeShim(TASK_V3, {"c1": "RUNNING"}))
            (directory / "s.sock").chmod(0o600)
            place.bootstrap(place.bundle("c1"), address)
            with as_nobody():
                found = place.observe()
    (gap,) = found.gaps
    assert (gap.subject, gap.reason) == ("c1", Reason.DENIED)
    assert "mode 0600" in gap.detail
