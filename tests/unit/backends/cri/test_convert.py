"""Messages of the container runtime interface as facts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope._pb import cri_pb2 as pb
from rtscope.backends.cri.convert import (
    Store,
    detailed,
    detailed_sandbox,
    info_in,
    instant_from,
    record_from,
    sandbox_from,
)
from rtscope.model.state import State

STORE = Store(origin="/run/containerd", namespace="k8s.io")


def container(**facts: Any) -> Any:
    return pb.Container(id="c", pod_sandbox_id="p", **facts)


@pytest.mark.parametrize(
    ("number", "word", "state"),
    [
        (0, "CREATED", State.CREATED),
        (1, "RUNNING", State.RUNNING),
        (2, "EXITED", State.STOPPED),
        (3, "UNKNOWN", State.UNKNOWN),
        (9, "9", State.UNKNOWN),
    ],
)
def test_record_state(number: int, word: str, state: State):
    record = record_from(container(state=number), STORE, {})
    assert (record.state, record.state_raw) == (state, word)


def test_record_empty_message_has_no_zero_values():
    record = record_from(pb.Container(id="c"), STORE, {})
    assert record.name is record.image_ref is record.image_id is record.created_at is None
    assert record.pod is not None
    assert record.pod.sandbox_id is None
    sandbox = sandbox_from(pb.PodSandbox(id="p"), STORE)
    assert sandbox.pod_name is sandbox.pod_uid is sandbox.created_at is None


@pytest.mark.parametrize(
    ("annotation", "expected"), [("7", 7), ("", 3), ("x", 3), ("-1", 3), ("9" * 20, 3), ("٣", 3)]
)
def test_record_restarts(annotation: str, expected: int):
    item = container(
        metadata=pb.ContainerMetadata(name="a", attempt=3),
        annotations={"io.kubernetes.container.restartCount": annotation},
    )
    assert record_from(item, STORE, {}).restart_count == expected


def test_record_image_is_the_users_word_for_it():
    image = pb.ImageSpec(image="sha256:1", user_specified_image="busybox:1")
    record = record_from(container(image=image, image_ref="sha256:1"), STORE, {})
    assert (record.image_ref, record.image_id) == ("busybox:1", "sha256:1")


@pytest.mark.parametrize("key", ["binary_name", "BinaryName"])
def test_detailed_takes_what_runtimes_add(key: str):
    info = (
        '{"pid": 5, "snapshotter": "overlayfs", "snapshotKey": "k", "runtimeType": "t",'
        f'"runtimeOptions": {{"{key}": "/bin/crun"}}}}'
    )
    status = pb.ContainerStatus(state=pb.CONTAINER_RUNNING, started_at=10**9)
    answer = pb.ContainerStatusResponse(status=status, info={"info": info})
    record = detailed(record_from(container(), STORE, {}), answer)
    assert (record.pid, record.snapshotter, record.snapshot_key) == (5, "overlayfs", "k")
    assert (record.oci_runtime, record.runtime_type) == ("/bin/crun", "t")
    assert (record.exit_code, record.finished_at, record.oom_killed) == (None, None, None)


def test_detailed_ended_has_no_pid():
    status = pb.ContainerStatus(state=pb.CONTAINER_EXITED, exit_code=0, reason="Completed")
    answer = pb.ContainerStatusResponse(status=status, info={"info": '{"pid": 5}'})
    record = detailed(record_from(container(), STORE, {}), answer)
    assert (record.pid, record.exit_code, record.oom_killed) == (None, 0, False)
    status = pb.PodSandboxStatus(state=pb.SANDBOX_NOTREADY)
    pod = pb.PodSandboxStatusResponse(status=status, info={"info": '{"pid": 5}'})
    assert detailed_sandbox(sandbox_from(pb.PodSandbox(id="p"), STORE), pod).pid is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"x"'])
def test_info_that_is_no_object_is_empty(text: str):
    assert info_in({"info": text}) == {}


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_any_instant_is_aware_or_none(nanoseconds: int):
    found = instant_from(nanoseconds)
    if nanoseconds <= 0:
        assert found is None
    else:
        assert found is None or abs(found - datetime(1970, 1, 1, tzinfo=UTC)) <= timedelta(
            microseconds=nanoseconds // 1000
        )


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.text(max_size=40))
def test_any_message_is_a_fact(data: bytes, info: str):
    try:
        item = pb.Container.FromString(data)
        status = pb.ContainerStatus.FromString(data)
    except DecodeError:
        return
    answer = pb.ContainerStatusResponse(status=status, info={"info": info})
    record = detailed(record_from(item, STORE, {}), answer)
    assert record.ref.id == item.id
