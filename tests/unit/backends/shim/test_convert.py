from datetime import UTC, datetime

import pytest
from google.protobuf.message import DecodeError

from rtscope._pb import shim_v2_pb2, task_types_pb2
from rtscope.backends.shim.convert import STATES, encode_state_request, task_from
from rtscope.model.records import Task
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import State

REF = Ref(origin="/run/containerd", namespace="default", id="c1")
KEY = ProcessKey(pid=7, start=8)


def task(message: shim_v2_pb2.StateResponse) -> Task:
    return task_from(message.SerializeToString(), REF, "/bundle", KEY)


def test_task_from_running_has_no_exit():
    found = task(shim_v2_pb2.StateResponse(id="c1", pid=42, status=task_types_pb2.RUNNING))
    assert (found.state, found.state_raw, found.pid) == (State.RUNNING, "running", 42)
    assert (found.exit_code, found.finished_at) == (None, None)
    assert (found.ref, found.shim, found.bundle_dir) == (REF, KEY, "/bundle")


def test_task_from_stopped_keeps_code_and_end():
    message = shim_v2_pb2.StateResponse(
        id="c1", pid=42, status=task_types_pb2.STOPPED, exit_status=0, bundle="/other"
    )
    message.exited_at.FromSeconds(1_700_000_000)
    found = task(message)
    assert (found.state, found.exit_code, found.bundle_dir) == (State.STOPPED, 0, "/other")
    assert found.finished_at == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize("seconds", [-62135596800, 0, 1 << 60])
def test_task_from_stopped_impossible_end_is_none(seconds: int):
    message = shim_v2_pb2.StateResponse(status=task_types_pb2.STOPPED)
    message.exited_at.seconds = seconds
    assert task(message).finished_at is None


def test_task_from_unknown_status_is_unknown_and_named():
    message = shim_v2_pb2.StateResponse()
    message.status = 99  # type: ignore[assignment]
    found = task(message)
    assert (found.state, found.state_raw, found.pid) == (State.UNKNOWN, "status 99", None)


def test_states_cover_every_status():
    words = {name.lower() for name in task_types_pb2.Status.keys()}  # noqa: SIM118
    assert words - {"unknown"} == set(STATES)


def test_task_from_garbage_is_a_decode_error():
    with pytest.raises(DecodeError):
        task_from(b"\xff\xff\xff", REF, "/bundle", None)


def test_encode_state_request_is_the_id():
    assert shim_v2_pb2.StateRequest.FromString(encode_state_request("c1")).id == "c1"
