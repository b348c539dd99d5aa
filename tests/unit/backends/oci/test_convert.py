"""State files of four runtimes: recorded ones, invented ones, and no state files at all."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope.backends.oci import convert
from rtscope.backends.oci.convert import (
    StateFile,
    StateFileError,
    crun_from,
    derive,
    runsc_from,
    sandbox_of,
    state_from,
    youki_cgroup_in,
)
from rtscope.model.state import State

DATA = Path(__file__).parents[3] / "data/oci"


def recorded(name: str) -> bytes:
    return (DATA / name).read_bytes()


def compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def in_full(data: bytes) -> StateFile:
    """The same without the short way."""
    return convert._runc_from(json.loads(data))


def test_runc_bare():
    assert state_from(recorded("runc-1.3.6/bare.json")) == StateFile(
        oci_runtime="runc",
        id="r-run",
        pid=6794,
        pid_start=279797,
        bundle_dir="/tmp/rtscope-lab/eb/oci/bundles/r-run",
        rootfs="/tmp/rtscope-lab/eb/oci/rootfs",
        created_at=datetime(2026, 11, 27, 4, 33, 14, 681413, tzinfo=UTC),
        cgroup_path="/rtlab-eb/oci/r-run",
        annotations={"rtlab": "r-run"},
    )


@pytest.mark.parametrize("name", ["bare", "pod", "docker"])
def test_runc_short_way_is_taken_and_agrees(name: str):
    data = recorded(f"runc-1.3.6/{name}.json")
    quick = convert._runc_head(data)
    assert quick is not None
    assert quick == in_full(data)


def test_runc_of_a_pod_has_its_annotations():
    found = state_from(recorded("runc-1.3.6/pod.json")).annotations
    assert found["io.kubernetes.cri.container-name"] == "sidecar"
    assert "bundle" not in found


def test_runc_annotation_named_bundle_is_not_the_bundle():
    document = json.loads(recorded("runc-1.3.6/bare.json"))
    document["config"]["labels"] = ["bundle=/mine", "x=1=2", "odd", "bundle=/real"]
    found = state_from(compact(document))
    assert found.bundle_dir == "/real"
    assert found.annotations == {"bundle": "/mine", "x": "1=2"}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ({"": "/sys/fs/cgroup/system.slice/x.scope"}, "/system.slice/x.scope"),
        ({"": "/sys/fs/cgroup/unified/a"}, "/a"),
        ({"": "/a", "pids": "/sys/fs/cgroup/pids/b/c"}, "/b/c"),
        ({"cpu": "/sys/fs/cgroup/cpu,cpuacct/b/c"}, "/b/c"),
        ({"memory": "/elsewhere/memory/b"}, None),
        ({"memory": 7}, None),
        (None, None),
    ],
)
def test_runc_cgroup_is_the_path_in_its_hierarchy(paths: Any, expected: str | None):
    document = {"id": "a", "init_process_pid": 1, "cgroup_paths": paths}
    assert state_from(compact(document)).cgroup_path == expected


def test_crun():
    found = crun_from(recorded("crun-1.28/status.json"), "c-crun")
    assert found == StateFile(
        oci_runtime="crun",
        id="c-crun",
        pid=6982,
        pid_start=279837,
        bundle_dir="/tmp/rtscope-lab/eb/oci/bundles/c-crun",
        rootfs="/tmp/rtscope-lab/eb/oci/rootfs",
        created_at=datetime(2026, 11, 27, 4, 33, 15, 69643, tzinfo=UTC),
        cgroup_path="/rtlab-eb/oci/c-crun",
    )


def test_crun_relative_rootfs_is_below_the_bundle():
    found = crun_from(recorded("crun-1.28/containerd.json"), "t-crun")
    assert found.rootfs == f"{found.bundle_dir}/rootfs"


def test_youki():
    found = state_from(recorded("youki-0.7.0/stopped.json"))
    assert (found.oci_runtime, found.id, found.pid) == ("youki", "y-stopped", 7220)
    assert (found.pid_start, found.state_raw) == (None, "running")
    assert found.annotations == {"rtlab": "y-stopped"}
    assert youki_cgroup_in(recorded("youki-0.7.0/config.json")) == "/rtlab-eb/oci/y-run"
    assert youki_cgroup_in(b"[]") is None


def test_runsc():
    found = runsc_from(recorded("runsc-20221219/bare.json"), "g-run-eb")
    assert (found.oci_runtime, found.id, found.pid) == ("runsc", "g-run-eb", 7285)
    assert (found.state_raw, found.sandbox_id) == ("running", "g-run-eb")
    assert found.cgroup_path is None
    assert found.rootfs == "/tmp/rtscope-lab/eb/oci/rootfs"


def test_runsc_without_sandbox_has_no_pid():
    data = compact({"id": "a", "status": "stopped", "sandbox": None})
    assert runsc_from(data, "b").pid is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a_sandbox:b.state", ("a", "b")),
        ("a_sandbox:b.lock", None),
        ("a", None),
        ("a.state", None),
        ("_sandbox:.state", None),
    ],
)
def test_sandbox_of(name: str, expected: tuple[str, str] | None):
    assert sandbox_of(name) == expected


@pytest.mark.parametrize(
    ("runtime", "raw", "alive", "frozen", "waiting", "expected"),
    [
        ("runc", None, True, False, False, State.RUNNING),
        ("runc", None, True, None, False, State.RUNNING),
        ("runc", None, True, True, False, State.PAUSED),
        ("runc", None, True, False, True, State.CREATED),
        ("runc", None, False, None, True, State.STOPPED),
        ("crun", None, None, None, False, State.UNKNOWN),
        ("youki", "running", False, None, False, State.STOPPED),
        ("youki", "created", True, False, False, State.CREATED),
        ("youki", "running", True, True, False, State.PAUSED),
        ("youki", "paused", True, False, False, State.RUNNING),
        ("runsc", "paused", True, False, False, State.PAUSED),
        ("runsc", "running", True, True, False, State.RUNNING),
        ("runsc", "new word", True, False, False, State.UNKNOWN),
        ("runsc", "running", False, None, False, State.STOPPED),
    ],
)
def test_derive(
    runtime: str, raw: str | None, alive: bool, frozen: bool, waiting: bool, expected: State
):
    file = StateFile(oci_runtime=runtime, id="a", state_raw=raw)
    assert derive(file, is_alive=alive, is_frozen=frozen, is_waiting=waiting) is expected


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"id":"a"}', b"[" * 100_000, b"\xff"])
def test_what_is_no_state_is_an_error(data: bytes):
    for read in (state_from, lambda d: crun_from(d, "a"), lambda d: runsc_from(d, "a")):
        with pytest.raises(StateFileError):
            read(data)


KEYS = st.sampled_from(
    ["id", "labels", "rootfs", "cgroup_paths", "config", "init_process_pid", "a", 'x","labels":["']
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(['","labels":["bundle=/x"]', "bundle=/y", "k=v", '"rootfs":"/z"'])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    head=st.fixed_dictionaries(
        {"id": st.text(min_size=1, max_size=6), "init_process_pid": st.integers(0, 9999)},
        optional={"init_process_start": LEAVES, "created": LEAVES},
    ),
    words=st.lists(LEAVES, max_size=4),
    rootfs=LEAVES,
    before=st.lists(LEAVES | st.lists(LEAVES, max_size=3), max_size=3),
    paths=st.dictionaries(st.sampled_from(["", "pids", "cpu"]), LEAVES, max_size=3),
)
def test_runc_short_way_never_disagrees(
    head: dict[str, Any], words: list[Any], rootfs: Any, before: list[Any], paths: dict[str, Any]
):
    config = {"rootfs": rootfs, "mounts": before, "version": "1", "labels": words, "keyring": False}
    data = compact({**head, "config": config, "rootless": False, "cgroup_paths": paths})
    quick = convert._runc_head(data)
    assert quick is None or quick == in_full(data)


@settings(max_examples=150, deadline=None)
@given(document=st.dictionaries(KEYS | st.sampled_from(["pid", "status", "bundle"]), JSON))
def test_any_document_is_a_state_or_an_error_of_ours(document: dict[str, Any]):
    data = compact(document)
    for read in (state_from, lambda d: crun_from(d, "a"), lambda d: runsc_from(d, "a")):
        try:
            found = read(data)
        except StateFileError:
            continue
        assert found.pid is None or found.pid > 0


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60), cut=st.integers(0, 4509))
def test_any_bytes_are_a_state_or_an_error_of_ours(data: bytes, cut: int):
    whole = recorded("runc-1.3.6/bare.json")
    for mangled in (data, whole[:cut] + data, whole[:cut] + data + whole[cut:]):
        try:
            found = state_from(mangled)
        except StateFileError:
            continue
        assert found.oci_runtime in ("runc", "youki")
