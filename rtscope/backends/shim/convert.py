"""A shim's answer as a fact."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rtscope._pb import shim_v2_pb2, task_types_pb2
from rtscope.model.records import Task
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import State

STATES: Mapping[str, State] = {
    "created": State.CREATED,
    "running": State.RUNNING,
    "stopped": State.STOPPED,
    "paused": State.PAUSED,
    "pausing": State.PAUSED,
}
"""The task API's word to the model's. Source: containerd, api/types/task/task.proto, Status."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_state_request(container_id: str) -> bytes:
    """The request `State`, which has one shape in every version of the API."""
    return shim_v2_pb2.StateRequest(id=container_id).SerializeToString()


def task_from(payload: bytes, ref: Ref, bundle_dir: str, shim: ProcessKey | None) -> Task:
    """The answer to `State`; the legacy shim's lacks only fields that are not read.

    Raises:
        google.protobuf.message.DecodeError: it is no such message.
    """
    message = shim_v2_pb2.StateResponse.FromString(payload)
    word = _word_from(message.status)
    is_over = word == "stopped"
    return Task(
        ref=ref,
        state=STATES.get(word, State.UNKNOWN),
        state_raw=word,
        pid=message.pid or None,
        exit_code=message.exit_status if is_over else None,
        finished_at=_time_from(message) if is_over else None,
        bundle_dir=message.bundle or bundle_dir,
        shim=shim,
    )


def _word_from(status: int) -> str:
    try:
        return str(task_types_pb2.Status.Name(status)).lower()
    except ValueError:
        return f"status {status}"


def _time_from(message: Any) -> datetime | None:
    """An instant; Go's year 1 and what does not fit a calendar are none."""
    stamp = message.exited_at
    if not message.HasField("exited_at") or stamp.seconds <= 0:
        return None
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None
