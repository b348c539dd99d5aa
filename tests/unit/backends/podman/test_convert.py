"""libpod's documents: recorded ones of two versions, and what no podman writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope.backends.podman.convert import (
    DocumentError,
    images_from,
    record_from_list,
    sandbox_from,
    state_from,
    version_from_server,
)
from rtscope.model.records import ContainerRecord
from rtscope.model.state import State

DATA = Path(__file__).parents[3] / "data/podman"
ORIGIN = "/var/lib/containers/storage"


def recorded(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def records(version: str) -> dict[str | None, ContainerRecord]:
    documents = recorded(f"{version}/containers.json")
    return {r.name: r for r in (record_from_list(d, origin=ORIGIN) for d in documents)}


@pytest.mark.parametrize("version", ["4.3.1", "5.8.6"])
def test_records(version: str):
    found = records(version)
    run, paused, ended = found["p-run"], found["p-paused"], found["p-exited"]
    assert (run.state, run.state_raw, run.exit_code, run.finished_at) == (
        State.RUNNING,
        "running",
        None,
        None,
    )
    assert run.pid is not None
    assert run.started_at is not None
    assert run.image_ref == "docker.io/rtlab/busybox:1"
    assert run.image_id is not None
    assert run.image_id.startswith("sha256:")
    assert (paused.state, ended.state, ended.exit_code) == (State.PAUSED, State.STOPPED, 3)
    assert (ended.pid, ended.command) == (None, "sh -c exit 3")
    assert ended.finished_at is not None
    member = found["p-pod-a"]
    assert member.pod is not None
    assert (member.pod.name, member.is_sandbox) == ("p-pod", False)
    (infra,) = (r for r in found.values() if r.is_sandbox)
    assert infra.pod == member.pod
    assert run.pod is None


def test_records_of_podman_5_that_never_ran():
    found = records("5.8.6")
    assert (found["p-created"].state, found["p-created"].state_raw) == (State.CREATED, "created")
    assert (found["p-init"].state, found["p-init"].state_raw) == (State.CREATED, "initialized")
    assert found["p-created"].started_at is None
    assert found["p-run"].restart_count == 0
    assert found["p-exited"].labels == {"a": "b"}


@pytest.mark.parametrize("version", ["4.3.1", "5.8.6"])
def test_sandbox(version: str):
    (document,) = recorded(f"{version}/pods.json")
    sandbox = sandbox_from(document, origin=ORIGIN)
    assert (sandbox.pod_name, sandbox.state, sandbox.state_raw) == (
        "p-pod",
        State.RUNNING,
        "Running",
    )
    assert sandbox.created_at is not None


@pytest.mark.parametrize("version", ["4.3.1", "5.8.6"])
def test_images(version: str):
    found = [i for d in recorded(f"{version}/images.json") for i in images_from(d, origin=ORIGIN)]
    assert {i.image_ref for i in found} == {"docker.io/rtlab/busybox:1", "docker.io/rtlab/pause:1"}
    assert all(i.size_bytes and i.image_digest and i.image_id for i in found)


def test_image_without_a_name_is_named_by_its_id():
    (image,) = images_from({"Id": "ab", "Names": None}, origin=ORIGIN)
    assert (image.ref.id, image.image_ref) == ("sha256:ab", None)


def test_record_health_and_odd_status():
    assert record_from_list({"Id": "a", "Status": "healthy"}, origin=ORIGIN).health == "healthy"
    assert record_from_list({"Id": "a", "Status": "Up"}, origin=ORIGIN).health is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Libpod/4.3.1 (linux)", "4.3.1"),
        ("Libpod/", None),
        ("Docker/28 (linux)", None),
        (None, None),
    ],
)
def test_version(header: str | None, expected: str | None):
    assert version_from_server(header) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("created", State.CREATED),
        ("initialized", State.CREATED),
        ("stopping", State.RUNNING),
        ("exited", State.STOPPED),
        ("removing", State.STOPPED),
        ("brand-new", State.UNKNOWN),
        (None, State.UNKNOWN),
    ],
)
def test_state(word: str | None, expected: State):
    assert state_from(word) is expected


KEYS = st.sampled_from(
    ["Id", "Names", "State", "Status", "Pid", "Created", "ExitedAt", "ExitCode", "Pod", "Command"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=8) | JSON)
def test_any_document_is_a_record_or_an_error_of_ours(document: Any):
    for convert in (
        record_from_list,
        sandbox_from,
        lambda d, origin: list(images_from(d, origin=origin)),
    ):
        try:
            convert(document, origin=ORIGIN)
        except DocumentError:
            assert (
                not isinstance(document, dict)
                or not isinstance(document.get("Id"), str)
                or not document["Id"]
            )
