"""OCI roots that the test makes, with processes of its own as their inits."""

import contextlib
import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rtscope.backends.base import Targets
from rtscope.backends.oci import MAX_FILE_BYTES, OciBackend
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Process
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import EndpointState, Reason, State
from rtscope.procfs.node import read_node
from rtscope.procfs.table import read_row
from tests.contract.backend_cases import (
    PATIENT,
    as_nobody,
    naive_times,
    open_directory,
    targets,
)
from tests.contract.grpc_servers import wait_until

DATA = Path(__file__).parents[1] / "data/oci"


@contextlib.contextmanager
def sleeper() -> Iterator[ProcessKey]:
    """A process of ours that lives as long as the test wants."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            row = read_row("/proc", process.pid)
            assert row is not None
            yield row.key
        finally:
            process.kill()


def runc(root: Path, name: str, key: ProcessKey, **changes: Any) -> Path:
    """A container of runc's; the recorded file with another init."""
    document = json.loads((DATA / "runc-1.3.6/bare.json").read_text())
    document |= {"id": name, "init_process_pid": key.pid, "init_process_start": key.start}
    (root / name).mkdir()
    (root / name / "state.json").write_text(json.dumps({**document, **changes}))
    return root / name


def youki(root: Path, name: str, pid: int, created: datetime, status: str = "running") -> None:
    document = json.loads((DATA / "youki-0.7.0/created.json").read_text())
    document |= {"id": name, "pid": pid, "created": created.isoformat(), "status": status}
    (root / name).mkdir()
    (root / name / "state.json").write_text(json.dumps(document))


def observe(root: Path, wanted: Targets | None = None) -> Observation:
    endpoint = Endpoint(kind="oci", address=f"{root}/", namespace="moby")
    backend = OciBackend.connect(endpoint, PATIENT)
    try:
        return backend.observe(wanted or targets())
    finally:
        backend.close()
        backend.close()


def states(found: Observation) -> dict[str, State]:
    return {state.ref.id: state.state for state in found.oci_states}


def test_observe_runc_state_follows_the_kernel(tmp_path: Path):
    with sleeper() as key:
        runc(tmp_path, "running", key)
        runc(tmp_path, "reused", dataclasses.replace(key, start=key.start - 1))
        os.mkfifo(runc(tmp_path, "created", key) / "exec.fifo")
        dead = runc(tmp_path, "dead", ProcessKey(pid=2**22 + 1, start=1))
        os.mkfifo(dead / "exec.fifo")
        runc(tmp_path, "no-init", ProcessKey(pid=0, start=0))
        found = observe(tmp_path)
    assert found.gaps == ()
    assert states(found) == {
        "running": State.RUNNING,
        "reused": State.STOPPED,
        "created": State.CREATED,
        "dead": State.STOPPED,
        "no-init": State.STOPPED,
    }
    assert {s.ref.origin for s in found.oci_states} == {str(tmp_path)}
    assert {s.ref.namespace for s in found.oci_states} == {"moby"}
    assert {s.owner_uid for s in found.oci_states} == {os.getuid()}
    assert found.endpoint.state is EndpointState.OK
    assert naive_times(found) == []


def test_observe_unreaped_init_is_stopped(tmp_path: Path):
    with subprocess.Popen(["true"]) as process:

        def is_zombie() -> bool:
            row = read_row("/proc", process.pid)
            return row is not None and row.state == b"Z"

        wait_until(is_zombie)
        row = read_row("/proc", process.pid)
        assert row is not None
        runc(tmp_path, "a", row.key)
        assert states(observe(tmp_path)) == {"a": State.STOPPED}


@pytest.mark.parametrize(
    ("frozen", "letter", "expected"),
    [(True, "S", State.PAUSED), (False, "S", State.RUNNING), (False, "Z", State.STOPPED)],
)
def test_observe_takes_the_process_scan(tmp_path: Path, frozen: bool, letter: str, expected: State):
    """What the scan says of (pid, start) is not read again."""
    key = ProcessKey(pid=2**22 + 1, start=7)
    process = Process(key=key, ppid=1, comm="x", state=letter, is_frozen=frozen)
    runc(tmp_path, "a", key)
    empty = observe(tmp_path)
    kernel = dataclasses.replace(empty, kind="procfs", processes=(process,), oci_states=())
    assert states(empty) == {"a": State.STOPPED}
    assert states(observe(tmp_path, targets(kernel=kernel))) == {"a": expected}


def test_observe_youki_pid_given_away_is_stopped(tmp_path: Path):
    wanted = dataclasses.replace(targets(), node=read_node(targets().host))
    now = datetime.now(UTC)
    with sleeper() as key:
        youki(tmp_path, "running", key.pid, now)
        youki(tmp_path, "created", key.pid, now, "created")
        youki(tmp_path, "reused", key.pid, now - timedelta(days=1))
        youki(tmp_path, "elsewhere", key.pid, now)
        other = json.dumps({"cgroup_path": "/nowhere/at-all"})
        (tmp_path / "elsewhere" / "youki_config.json").write_text(other)
        found = observe(tmp_path, wanted)
    assert states(found) == {
        "running": State.RUNNING,
        "created": State.CREATED,
        "reused": State.STOPPED,
        "elsewhere": State.STOPPED,
    }


def test_observe_tells_runtimes_by_their_files(tmp_path: Path):
    runc(tmp_path, "r", ProcessKey(pid=2**22 + 1, start=1))
    youki(tmp_path, "y", 2**22 + 1, datetime.now(UTC))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "status").write_bytes((DATA / "crun-1.28/status.json").read_bytes())
    name = "g-run-eb_sandbox:g-run-eb"
    content = (DATA / "runsc-20221219/bare.json").read_bytes()
    (tmp_path / f"{name}.state").write_bytes(content)
    (tmp_path / f"{name}.lock").write_bytes(b"")
    (tmp_path / ".cache").mkdir()
    found = observe(tmp_path)
    assert found.gaps == ()
    runtimes = {state.ref.id: state.oci_runtime for state in found.oci_states}
    assert runtimes == {"r": "runc", "y": "youki", "c": "crun", "g-run-eb": "runsc"}


def test_observe_unknown_where_processes_are_hidden(tmp_path: Path):
    runc(tmp_path, "a", ProcessKey(pid=os.getpid(), start=1))
    wanted = targets()
    wanted.host.proc = str(tmp_path)
    assert states(observe(tmp_path, wanted)) == {"a": State.UNKNOWN}


def test_observe_malformed_files_spare_the_others(tmp_path: Path):
    key = ProcessKey(pid=2**22 + 1, start=1)
    runc(tmp_path, "good", key)
    (runc(tmp_path, "broken", key) / "state.json").write_text('{"id": "')
    (runc(tmp_path, "foreign", key) / "state.json").write_text('{"id": "x"}')
    runc(tmp_path, "renamed", key, id="good")
    with (runc(tmp_path, "large", key) / "state.json").open("r+b") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    (tmp_path / "fifo").mkdir()
    os.mkfifo(tmp_path / "fifo" / "state.json")
    (tmp_path / "empty").mkdir()
    found = observe(tmp_path)
    assert set(states(found)) == {"good"}
    reasons = {gap.subject: gap.reason for gap in found.gaps}
    bad = ("broken", "foreign", "renamed", "large", "fifo")
    assert reasons == {**dict.fromkeys(bad, Reason.MALFORMED), "empty": Reason.ABSENT}
    assert found.endpoint.state is EndpointState.OK


def test_observe_empty_root_has_no_gap(tmp_path: Path):
    found = observe(tmp_path)
    assert (found.oci_states, found.gaps) == ((), ())
    assert found.endpoint.state is EndpointState.OK


def test_observe_no_root_is_absent(tmp_path: Path):
    found = observe(tmp_path / "none")
    assert [gap.reason for gap in found.gaps] == [Reason.ABSENT]
    assert found.endpoint.state is EndpointState.ABSENT


def test_observe_scope_reads_only_its_refs(tmp_path: Path):
    for name in ("a", "b"):
        runc(tmp_path, name, ProcessKey(pid=2**22 + 1, start=1))
    scope = (
        Ref(origin=str(tmp_path), namespace="moby", id="a"),
        Ref(origin="/elsewhere", namespace="moby", id="b"),
    )
    found = observe(tmp_path, targets(scope=scope))
    assert set(states(found)) == {"a"}
    assert found.scope == scope


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as root:
        runc(root, "a", ProcessKey(pid=2**22 + 1, start=1)).chmod(0o700)
        with as_nobody():
            (gap,) = observe(root).gaps
        assert (gap.subject, gap.reason) == ("a", Reason.DENIED)
        assert "belongs to root:root, mode 0700" in gap.detail
        root.chmod(0o700)
        with as_nobody():
            found = observe(root)
        root.chmod(0o755)
    assert found.endpoint.state is EndpointState.DENIED


def test_document_is_the_file(tmp_path: Path):
    runc(tmp_path, "a", ProcessKey(pid=5, start=6))
    backend = OciBackend.connect(Endpoint(kind="oci", address=str(tmp_path)), PATIENT)
    ref = Ref(origin=str(tmp_path), namespace="", id="a")
    assert backend.document(ref, targets())["init_process_pid"] == 5
    with pytest.raises(BackendError, match="no such container"):
        backend.document(Ref(origin=str(tmp_path), namespace="", id="b"), targets())
    (tmp_path / "a" / "state.json").write_text("{")
    with pytest.raises(BackendError, match="not JSON"):
        backend.document(ref, targets())


def test_observe_nested_runtime_counts_pids_of_its_container(tmp_path: Path):
    def process(pid: int, ppid: int, ns_pids: tuple[int, ...]) -> Process:
        key = ProcessKey(pid=pid, start=pid)
        return Process(
            key=key, ppid=ppid, comm="x", state="S", ns_pids=ns_pids, is_frozen=pid == 900
        )

    outer, engine = process(700, 1, (700, 1)), process(800, 700, (800, 9))
    inner, foreign = process(900, 800, (900, 65, 1)), process(66, 1, (66, 1))
    runc(tmp_path, "inner", ProcessKey(pid=65, start=900))
    runc(tmp_path, "gone", ProcessKey(pid=66, start=66))
    endpoint = Endpoint(kind="oci", address=str(tmp_path), nested_in=700)
    backend = OciBackend.connect(endpoint, PATIENT)
    processes = (outer, engine, inner, foreign)
    kernel = dataclasses.replace(observe(tmp_path), processes=processes, oci_states=())
    found = backend.observe(targets(kernel=kernel))
    assert states(found) == {"inner": State.PAUSED, "gone": State.STOPPED}
    assert {s.ref.id: s.pid for s in found.oci_states} == {"inner": 900, "gone": None}
    assert states(backend.observe(targets())) == {"inner": State.UNKNOWN, "gone": State.UNKNOWN}
