"""podman's service played by small servers, and its storage made of recorded files."""

import gzip
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from rtscope.backends.podman import PodmanBackend
from rtscope.backends.podman.files import PodmanFilesBackend
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import ContainerRecord, Process, Shim
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import EndpointState, Reason, State
from rtscope.procfs.table import read_row
from tests.contract.backend_cases import (
    HASTY,
    PATIENT,
    as_nobody,
    naive_times,
    open_directory,
    targets,
)
from tests.contract.grpc_servers import raw_server
from tests.contract.test_http import answering, next_path, until_closed

DATA = Path(__file__).parents[1] / "data/podman"
HEAD = "HTTP/1.1 200 OK\r\nServer: Libpod/5.8.6 (linux)\r\n"
VERSIONS = ("4.3.1", "5.8.6")


def response(body: bytes, head: str = HEAD) -> bytes:
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def of_service(version: str, asked: list[str] | None = None) -> Callable[[socket.socket], None]:
    """Containers, pods and images, in the order in which they are asked for."""
    names = ("containers", "pods", "images")
    answers = [response((DATA / version / f"{name}.json").read_bytes()) for name in names]
    return answering(*answers, asked=asked)


def observe(
    tmp_path: Path,
    handler: Callable[[socket.socket], None],
    deadlines: Deadlines = PATIENT,
    **wanted: Any,
) -> Observation:
    path = tmp_path / "p.sock"
    with raw_server(str(path), handler):
        return observe_at(path, deadlines, **wanted)


def observe_at(path: Path, deadlines: Deadlines = PATIENT, **wanted: Any) -> Observation:
    endpoint = Endpoint(kind="podman", address=str(path), origin="/graph")
    backend = PodmanBackend.connect(endpoint, deadlines)
    try:
        return backend.observe(targets(**wanted))
    finally:
        backend.close()
        backend.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_observe_recorded_answers(tmp_path: Path, version: str):
    asked: list[str] = []
    found = observe(tmp_path, of_service(version, asked), needs=frozenset({"images"}))
    assert found.gaps == ()
    assert asked == [
        "/v4.0.0/libpod/containers/json?all=true",
        "/v4.0.0/libpod/pods/json",
        "/v4.0.0/libpod/images/json",
    ]
    assert {c.name for c in found.containers} >= {"p-run", "p-paused", "p-exited", "p-pod-a"}
    assert {c.ref.origin for c in found.containers} == {"/graph"}
    assert [s.pod_name for s in found.sandboxes] == ["p-pod"]
    assert len(found.images) == 2
    assert (found.endpoint.version, found.endpoint.state) == ("5.8.6", EndpointState.OK)
    assert found.endpoint.connect_ms is not None
    assert found.endpoint.first_answer_ms is not None
    assert naive_times(found) == []


@pytest.mark.parametrize("empty", [b"[]", b"null"])
def test_observe_empty_service_has_no_gap(tmp_path: Path, empty: bytes):
    found = observe(tmp_path, answering(response(empty), response(empty)))
    assert (found.containers, found.sandboxes, found.gaps) == ((), (), ())


def test_observe_scope_filters(tmp_path: Path):
    documents = json.loads((DATA / "5.8.6/containers.json").read_text())
    wanted = Ref(origin="/graph", namespace="", id=documents[0]["Id"])
    asked: list[str] = []
    found = observe(tmp_path, of_service("5.8.6", asked), scope=(wanted,))
    assert [c.ref for c in found.containers] == [wanted]
    assert found.sandboxes == ()
    assert json.loads(unquote(asked[0].partition("filters=")[2])) == {"id": [wanted.id]}


def test_observe_malformed_container_spares_the_others(tmp_path: Path):
    body = json.dumps([{"Names": ["x"]}, {"Id": "a" * 64}, 7]).encode()
    found = observe(tmp_path, answering(response(body), response(b"[]")))
    assert [c.ref.id for c in found.containers] == ["a" * 64]
    assert [gap.reason for gap in found.gaps] == [Reason.MALFORMED] * 2
    assert found.endpoint.state is EndpointState.MALFORMED


def test_observe_pods_that_fail_leave_the_containers(tmp_path: Path):
    error = b'{"cause":"x","message":"no pods today","response":500}'
    head = "HTTP/1.1 500 Internal Server Error\r\n"
    body = json.dumps([{"Id": "a" * 64}]).encode()
    found = observe(tmp_path, answering(response(body), response(error, head)))
    (gap,) = found.gaps
    assert (gap.missing, gap.subject) == ("sandboxes", "pods")
    assert "HTTP 500: no pods today" in gap.detail
    assert len(found.containers) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (response(b"{"), "not JSON"),
        (response(b"{}"), "not a list"),
        (response(b"[" * 100_000), "not JSON"),
        (response(b'{"message":"page not found"}', "HTTP/1.1 404 Not Found\r\n"), "HTTP 404"),
        (b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64", "gRPC"),
        (b"garbage garbage", "not HTTP"),
    ],
)
def test_observe_other_answers_are_malformed(tmp_path: Path, answer: bytes, why: str):
    found = observe(tmp_path, until_closed(answer))
    (gap,) = found.gaps
    assert why in gap.detail
    assert (gap.reason, found.endpoint.state) == (Reason.MALFORMED, EndpointState.MALFORMED)


def test_observe_silent_service(tmp_path: Path):
    found = observe(tmp_path, until_closed(), HASTY)
    assert [gap.reason for gap in found.gaps] == [Reason.SILENT]
    assert found.endpoint.state is EndpointState.SILENT


def test_observe_again_waits_for_the_same_answer(tmp_path: Path):
    asked: list[str | None] = []
    release = os.eventfd(0)

    def late(connection: socket.socket) -> None:
        asked.append(next_path(connection))
        os.eventfd_read(release)
        connection.sendall(response(b"[]"))
        asked.append(next_path(connection))
        connection.sendall(response(b"[]"))

    path = tmp_path / "p.sock"
    with raw_server(str(path), late):
        limits = replace(PATIENT, first_answer_s=0.05)
        backend = PodmanBackend.connect(Endpoint(kind="podman", address=str(path)), limits)
        assert backend.observe(targets()).endpoint.state is EndpointState.SILENT
        os.eventfd_write(release, 1)
        found = backend.observe(targets())
        while found.endpoint.state is EndpointState.SILENT:
            found = backend.observe(targets())
        backend.close()
    os.close(release)
    assert len(asked) == 2
    assert found.gaps == ()


def test_observe_nobody_listens_is_dead(tmp_path: Path):
    found = observe_at(tmp_path / "none")
    assert [gap.reason for gap in found.gaps] == [Reason.REFUSED]
    assert found.endpoint.state is EndpointState.DEAD


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as root, raw_server(str(root / "p.sock"), until_closed()):
        (root / "p.sock").chmod(0o660)
        with as_nobody():
            found = observe_at(root / "p.sock")
    (gap,) = found.gaps
    assert (gap.reason, found.endpoint.state) == (Reason.DENIED, EndpointState.DENIED)
    assert "root:root, mode 0660" in gap.detail


def test_document_is_the_inspection(tmp_path: Path):
    path = tmp_path / "p.sock"
    asked: list[str] = []
    with raw_server(str(path), answering(response(b'{"Id":"a"}'), asked=asked)):
        backend = PodmanBackend.connect(Endpoint(kind="podman", address=str(path)), PATIENT)
        ref = Ref(origin="/graph", namespace="", id="a/b")
        assert backend.document(ref, targets()) == {"Id": "a"}
        backend.close()
    assert asked == ["/v4.0.0/libpod/containers/a%2Fb/json"]


# ---------------------------------------------------------------- without a service
class Store:
    """A graph root and its run root, with conmons that the process scan may have seen."""

    def __init__(self, tmp_path: Path, version: str = "5.8.6", *, database: bool = True) -> None:
        self.root, self.run = tmp_path / "graph", tmp_path / "run"
        self.exits = tmp_path / "tmp" / "exits"
        self.exits.mkdir(parents=True)
        lists = self.root / "overlay-containers"
        lists.mkdir(parents=True)
        for source, name in (("store", "containers"), ("volatile", "volatile-containers")):
            path = DATA / version / f"{source}.json"
            if path.exists():
                (lists / f"{name}.json").write_bytes(path.read_bytes())
        if database and version == "5.8.6":
            content = gzip.decompress((DATA / version / "db.sql.gz").read_bytes())
            (self.root / "db.sql").write_bytes(content)
        entries = [e for path in lists.iterdir() for e in json.loads(path.read_text())]
        self.ids = {entry["names"][0]: entry["id"] for entry in entries}
        self.shims: list[Shim] = []
        self.processes: list[Process] = []

    def userdata(self, name: str, *, is_run: bool = False) -> Path:
        base = self.run if is_run else self.root
        path = base / "overlay-containers" / self.ids[name] / "userdata"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def has_conmon(self, name: str, conmon: int = 2**22 + 1, **facts: Any) -> None:
        self.shims.append(
            Shim(
                key=ProcessKey(pid=conmon, start=1),
                kind="conmon",
                id=self.ids[name],
                graph_root=str(self.root),
                run_root=str(self.run),
                exit_dir=str(self.exits),
                oci_runtime="/usr/bin/crun",
                **facts,
            )
        )

    def runs(self, name: str, key: ProcessKey, **facts: Any) -> None:
        """An init below a conmon, as pid files and the process scan have it."""
        conmon = os.getppid()
        (self.userdata(name, is_run=True) / "pidfile").write_text(str(key.pid))
        (self.userdata(name, is_run=True) / "conmon.pid").write_text(f"{conmon}\n")
        self.has_conmon(name, conmon)
        self.processes.append(Process(key=key, ppid=conmon, comm="x", state="S", **facts))

    def observe(self, *, with_kernel: bool = True, **wanted: Any) -> Observation:
        backend = PodmanFilesBackend.connect(
            Endpoint(kind="podmanfs", address=str(self.root)), PATIENT
        )
        try:
            kernel = replace(
                backend.observe(targets()),
                shims=tuple(self.shims),
                processes=tuple(self.processes),
                containers=(),
            )
            return backend.observe(targets(kernel=kernel if with_kernel else None, **wanted))
        finally:
            backend.close()
            backend.close()

    def named(self, **wanted: Any) -> dict[str | None, ContainerRecord]:
        return {record.name: record for record in self.observe(**wanted).containers}


def own_key() -> ProcessKey:
    row = read_row("/proc", os.getpid())
    assert row is not None
    return row.key


def test_store_with_database(tmp_path: Path):
    store = Store(tmp_path)
    store.runs("p-run", own_key(), is_frozen=False)
    found = store.observe()
    assert found.gaps == ()
    assert found.endpoint.state is EndpointState.OK
    assert naive_times(found) == []
    by_name = {record.name: record for record in found.containers}
    assert set(by_name) == set(store.ids)
    assert not any(record.is_complete for record in found.containers)
    run, ended, member = by_name["p-run"], by_name["p-exited"], by_name["p-pod-a"]
    assert (run.state, run.state_raw, run.pid) == (State.RUNNING, "running", os.getpid())
    assert (run.oci_runtime, run.exit_code) == ("/usr/bin/crun", None)
    assert (ended.state, ended.exit_code, ended.labels) == (State.STOPPED, 3, {"a": "b"})
    assert ended.finished_at is not None
    assert by_name["p-created"].state is State.CREATED
    assert (by_name["p-paused"].state, by_name["p-paused"].state_raw) == (State.STOPPED, "paused")
    assert member.pod is not None
    assert member.pod.name == "p-pod"
    (sandbox,) = found.sandboxes
    assert (sandbox.pod_name, sandbox.ref.id) == ("p-pod", member.pod.sandbox_id)
    assert [r.name for r in found.containers if r.is_sandbox] == ["a8b5af6e0adf-infra"]
    assert "p-rm" in by_name


@pytest.mark.parametrize(
    ("frozen", "fifo", "expected"),
    [(True, False, State.PAUSED), (False, True, State.CREATED), (False, False, State.RUNNING)],
)
def test_store_state_is_the_kernels(tmp_path: Path, frozen: bool, fifo: bool, expected: State):
    store = Store(tmp_path)
    store.runs("p-exited", own_key(), is_frozen=frozen)
    oci_root = tmp_path / "oci"
    (oci_root / store.ids["p-exited"]).mkdir(parents=True)
    if fifo:
        os.mkfifo(oci_root / store.ids["p-exited"] / "exec.fifo")
    store.shims = [replace(shim, oci_root=str(oci_root)) for shim in store.shims]
    record = store.named()["p-exited"]
    assert (record.state, record.exit_code, record.pid) == (expected, None, os.getpid())


def test_store_pid_of_another_process_is_not_the_init(tmp_path: Path):
    store = Store(tmp_path)
    (store.userdata("p-run", is_run=True) / "pidfile").write_text(str(os.getpid()))
    (store.userdata("p-run", is_run=True) / "conmon.pid").write_text("4194000")
    store.has_conmon("p-paused")
    record = store.named()["p-run"]
    assert (record.state, record.pid) == (State.STOPPED, None)


def test_store_without_database(tmp_path: Path):
    store = Store(tmp_path, "4.3.1")
    infra_name = next(name for name in store.ids if name.endswith("-infra"))
    pod_id = infra_name[:12] + "0" * 52
    infra, member = store.ids[infra_name], store.ids["p-pod-a"]
    specs = {
        infra_name: {"linux": {"cgroupsPath": f"/x/{pod_id}/libpod-{infra}"}},
        "p-pod-a": {
            "annotations": {"io.kubernetes.cri-o.SandboxID": infra},
            "linux": {"cgroupsPath": f"/x/libpod-{member}"},
        },
        "p-exited": {},
    }
    for name, spec in specs.items():
        (store.userdata(name) / "config.json").write_text(json.dumps(spec))
    (store.exits / store.ids["p-exited"]).write_text("3")
    store.has_conmon("p-pod-a")
    found = store.observe()
    by_name = {record.name: record for record in found.containers}
    assert set(by_name) == set(store.ids)
    ended = by_name["p-exited"]
    assert (ended.state, ended.state_raw, ended.exit_code) == (State.STOPPED, None, 3)
    assert ended.finished_at is not None
    assert by_name["p-run"].state is State.CREATED
    for name in (infra_name, "p-pod-a"):
        pod = by_name[name].pod
        assert pod is not None
        assert (pod.name, pod.sandbox_id) == (None, pod_id)
    assert [by_name[n].is_sandbox for n in (infra_name, "p-pod-a")] == [True, False]
    assert [sandbox.ref.id for sandbox in found.sandboxes] == [pod_id]
    assert naive_times(found) == []


def test_store_unknown_where_the_run_root_is(tmp_path: Path):
    store = Store(tmp_path, "4.3.1")
    states = {record.state for record in store.observe(with_kernel=False).containers}
    assert states == {State.UNKNOWN}


def test_store_init_whose_conmon_is_gone_is_found_in_the_scan(tmp_path: Path):
    store = Store(tmp_path)
    init = Process(
        key=ProcessKey(pid=2**22 + 5, start=9),
        ppid=1,
        comm="x",
        state="S",
        ns_pids=(2**22 + 5, 1),
        container_id=store.ids["p-run"],
        is_frozen=False,
    )
    store.processes.append(init)
    record = store.named()["p-run"]
    assert (record.state, record.pid) == (State.RUNNING, init.key.pid)


UID = "0b1c8c39-59d5-4ee0-9b44-1d8fbbbd9f4e"


def crio_list(root: Path) -> None:
    pod_facts = {"pod-name": f"k8s_web_shop_{UID}_0", "pod-id": "a" * 64}
    own = {"metadata-name": "web", "uid": UID, "namespace": "shop", "pod": True}
    rows = [
        ("a" * 64, {**pod_facts, **own, "name": f"k8s_POD_web_shop_{UID}_0"}),
        ("b" * 64, {**pod_facts, "metadata-name": "app", "name": f"k8s_app_web_shop_{UID}_0"}),
    ]
    documents = [{"id": key, "metadata": json.dumps(facts)} for key, facts in rows]
    (root / "overlay-containers").mkdir(parents=True, exist_ok=True)
    (root / "overlay-containers/containers.json").write_text(json.dumps(documents))


def test_store_of_crio(tmp_path: Path):
    """Without an infra container the pod has no process that could tell its state."""
    store = Store(tmp_path, "4.3.1")
    crio_list(store.root)
    store.ids["app"] = "b" * 64
    store.runs("app", own_key(), is_frozen=False)
    store.shims = [
        replace(shim, graph_root=None, name=f"k8s_app_web_shop_{UID}_0", bundle_dir="/run/b")
        for shim in store.shims
    ]
    found = store.observe()
    sandbox, app = found.containers
    assert (sandbox.is_sandbox, app.is_sandbox) == (True, False)
    assert (sandbox.state, app.state, app.pid) == (State.UNKNOWN, State.RUNNING, os.getpid())
    assert (app.name, app.bundle_dir, app.attempt) == ("app", "/run/b", 0)
    assert app.pod is not None
    assert (app.pod.name, app.pod.namespace, app.pod.uid) == ("web", "shop", UID)
    assert app.labels["io.kubernetes.container.name"] == "app"
    (pod,) = found.sandboxes
    assert (pod.ref.id, pod.pod_name, pod.pod_namespace) == ("a" * 64, "web", "shop")


def test_store_malformed_files_spare_the_others(tmp_path: Path):
    store = Store(tmp_path)
    (store.root / "db.sql").write_bytes(b"SQLite format 3\0 or so")
    (store.root / "overlay-containers/volatile-containers.json").write_text("[")
    (store.root / "vfs-containers").mkdir()
    os.mkfifo(store.root / "vfs-containers/containers.json")
    found = store.observe()
    assert {Path(gap.subject).name: gap.reason for gap in found.gaps} == {
        "db.sql": Reason.MALFORMED,
        "volatile-containers.json": Reason.MALFORMED,
        "containers.json": Reason.MALFORMED,
    }
    assert len(found.containers) == 7


def test_store_empty_and_absent(tmp_path: Path):
    (tmp_path / "root").mkdir()
    endpoint = Endpoint(kind="podmanfs", address=str(tmp_path / "root"))
    found = PodmanFilesBackend.connect(endpoint, PATIENT).observe(targets())
    assert (found.containers, found.gaps, found.endpoint.state) == ((), (), EndpointState.OK)
    endpoint = replace(endpoint, address=str(tmp_path / "none"))
    found = PodmanFilesBackend.connect(endpoint, PATIENT).observe(targets())
    assert [gap.reason for gap in found.gaps] == [Reason.ABSENT]
    assert found.endpoint.state is EndpointState.ABSENT


def test_store_scope(tmp_path: Path):
    store = Store(tmp_path)
    wanted = Ref(origin=str(store.root), namespace="", id=store.ids["p-run"])
    found = store.observe(scope=(wanted, replace(wanted, origin="/elsewhere")))
    assert [record.ref for record in found.containers] == [wanted]
    assert found.sandboxes == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_store_denied_names_owner_group_and_mode():
    with open_directory() as directory:
        store = Store(directory)
        store.root.chmod(0o700)
        with as_nobody():
            found = store.observe(with_kernel=False)
    (gap,) = found.gaps
    assert (gap.reason, found.endpoint.state) == (Reason.DENIED, EndpointState.DENIED)
    assert "root:root, mode 0700" in gap.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a store away")
def test_store_of_a_user_carries_the_uid(tmp_path: Path):
    store = Store(tmp_path)
    os.chown(store.root, 1234, 1234)
    assert {record.store_uid for record in store.observe().containers} == {1234}


def test_store_document_is_the_entry(tmp_path: Path):
    store = Store(tmp_path)
    backend = PodmanFilesBackend.connect(
        Endpoint(kind="podmanfs", address=str(store.root)), PATIENT
    )
    ref = Ref(origin=str(store.root), namespace="", id=store.ids["p-rm"])
    assert backend.document(ref, targets())["names"] == ["p-rm"]
    with pytest.raises(BackendError, match="no container"):
        backend.document(replace(ref, id="0" * 64), targets())
