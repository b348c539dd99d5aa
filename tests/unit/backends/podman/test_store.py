"""Lists of containers/storage, as podman and CRI-O write them, and conmon's small files."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope.backends.podman.convert import DocumentError
from rtscope.backends.podman.store import (
    StoreEntry,
    entries_from,
    exit_code_from,
    membership_in,
    pid_from,
)
from rtscope.model.records import Pod

DATA = Path(__file__).parents[3] / "data/podman"
UID = "0b1c8c39-59d5-4ee0-9b44-1d8fbbbd9f4e"
POD_ID, APP_ID = "a" * 64, "b" * 64


def crio_entry(container_id: str, **metadata: Any) -> dict[str, Any]:
    facts = {"pod-name": f"k8s_web_shop_{UID}_1", "pod-id": POD_ID, "created-at": 1}
    return {
        "id": container_id,
        "names": ["k8s_x"],
        "image": "1" * 64,
        "metadata": json.dumps({**facts, **metadata}),
        "created": "2026-11-27T04:00:00.5Z",
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [("4.3.1/store.json", 7), ("5.8.6/store.json", 7), ("5.8.6/volatile.json", 1)],
)
def test_recorded_lists(name: str, count: int):
    found = entries_from((DATA / name).read_bytes())
    assert len(found) == count
    for entry in found:
        assert isinstance(entry, StoreEntry)
        assert entry.crio is None
        assert entry.name is not None
        assert entry.created_at is not None
        assert (entry.image_ref or "").startswith("docker.io/rtlab/")
        assert (entry.image_id or "").startswith("sha256:")
        assert entry.is_infra_by_name == entry.name.endswith("-infra")


def test_crio_sandbox_and_container():
    documents = [
        crio_entry(
            POD_ID,
            name=f"k8s_POD_web_shop_{UID}_1",
            **{"metadata-name": "web"},
            uid=UID,
            namespace="shop",
            attempt=1,
            pod=True,
        ),
        crio_entry(APP_ID, name=f"k8s_app_web_shop_{UID}_2", **{"metadata-name": "app"}, attempt=2),
    ]
    sandbox, app = entries_from(json.dumps(documents).encode())
    assert isinstance(sandbox, StoreEntry)
    assert isinstance(app, StoreEntry)
    assert sandbox.crio is not None
    assert app.crio is not None
    pod = Pod(name="web", namespace="shop", uid=UID, sandbox_id=POD_ID)
    assert sandbox.crio.pod == app.crio.pod == pod
    assert (sandbox.crio.is_pod, sandbox.crio.container, sandbox.crio.attempt) == (True, None, 1)
    assert (app.crio.is_pod, app.crio.container, app.crio.attempt) == (False, "app", 2)
    assert not sandbox.is_infra_by_name


def test_entries_malformed_ones_spare_the_others():
    good = {"id": APP_ID, "metadata": "{}"}
    documents = [good, {"id": "short"}, {"id": POD_ID, "metadata": "{"}, 7]
    found = entries_from(json.dumps(documents).encode())
    assert isinstance(found[0], StoreEntry)
    assert [isinstance(entry, str) for entry in found] == [False, True, True, True]


@pytest.mark.parametrize("data", [b"", b"{}", b"[", b"[" * 100_000, b"7", b"\xff"])
def test_entries_no_list_is_an_error(data: bytes):
    with pytest.raises(DocumentError):
        entries_from(data)


def test_entries_null_is_empty():
    assert entries_from(b"null") == []


@pytest.mark.parametrize(
    ("cgroup", "pod"),
    [
        (f"/lab/podman/{POD_ID}/libpod-{APP_ID}", POD_ID),
        (f"machine-libpod_pod_{POD_ID}.slice:libpod:{APP_ID}", POD_ID),
        (f"/lab/podman/libpod-{APP_ID}", None),
        ("machine.slice:libpod:" + APP_ID, None),
    ],
)
def test_membership(cgroup: str, pod: str | None):
    annotations = {"io.kubernetes.cri-o.SandboxID": POD_ID}
    spec = json.dumps({"annotations": annotations, "linux": {"cgroupsPath": cgroup}})
    assert membership_in(spec.encode()) == (POD_ID, pod)
    assert membership_in(spec.encode().replace(b"SandboxID", b"Other")) == (None, pod)
    assert membership_in(b"") == (None, None)


@pytest.mark.parametrize(
    ("data", "code", "pid"),
    [
        (b"0\n", 0, None),
        (b"137", 137, 137),
        (b"4711\n", None, 4711),
        (b"", None, None),
        (b"-1", None, None),
        (b"9" * 30, None, None),
        (b"x", None, None),
    ],
)
def test_small_files(data: bytes, code: int | None, pid: int | None):
    assert exit_code_from(data) == code
    assert pid_from(data) == pid


@settings(max_examples=100, deadline=None)
@given(
    metadata=st.dictionaries(
        st.sampled_from(["pod-id", "pod-name", "pod", "attempt", "name", "uid", "image-id"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("k8s_a_b_c_1"),
    ),
    junk=st.binary(max_size=30),
)
def test_any_metadata_is_an_entry(metadata: dict[str, Any], junk: bytes):
    documents = [{"id": APP_ID, "metadata": json.dumps(metadata)}]
    (entry,) = entries_from(json.dumps(documents).encode())
    assert isinstance(entry, StoreEntry)
    assert exit_code_from(junk) in (None, *range(256))
    assert (pid_from(junk) or 1) > 0
    membership_in(junk)
