"""The messages of the container runtime interface as facts.

Source: kubernetes/cri-api, pkg/apis/runtime/v1/api.proto.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rtscope._pb import cri_pb2
from rtscope.backends.fields import items, mapping, positive, text
from rtscope.model.facts import fact, replace
from rtscope.model.records import ContainerRecord, Pod, Sandbox
from rtscope.model.refs import Ref
from rtscope.model.state import Layer, State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POD_NAME = "io.kubernetes.pod.name"
_POD_NAMESPACE = "io.kubernetes.pod.namespace"
_POD_UID = "io.kubernetes.pod.uid"
_RESTARTS = "io.kubernetes.container.restartCount"

_STATES: Mapping[int, tuple[str, State]] = {
    cri_pb2.CONTAINER_CREATED: ("CREATED", State.CREATED),
    cri_pb2.CONTAINER_RUNNING: ("RUNNING", State.RUNNING),
    cri_pb2.CONTAINER_EXITED: ("EXITED", State.STOPPED),
    cri_pb2.CONTAINER_UNKNOWN: ("UNKNOWN", State.UNKNOWN),
}
_SANDBOX_STATES: Mapping[int, tuple[str, State]] = {
    cri_pb2.SANDBOX_READY: ("SANDBOX_READY", State.RUNNING),
    cri_pb2.SANDBOX_NOTREADY: ("SANDBOX_NOTREADY", State.STOPPED),
}


@fact
class Store:
    """Where records come from, and what they sit on.

    Attributes:
        origin, namespace: As in Ref.
        below, below_namespace: As in ContainerRecord.
    """

    origin: str
    namespace: str = ""
    below: str | None = None
    below_namespace: str | None = None
    owner_uid: int | None = None


def sandbox_from(item: cri_pb2.PodSandbox, store: Store) -> Sandbox:
    """A pod as the list has it: without a pid."""
    word, state = _SANDBOX_STATES.get(item.state, (str(item.state), State.UNKNOWN))
    return Sandbox(
        ref=Ref(origin=store.origin, namespace=store.namespace, id=item.id),
        pod_name=item.metadata.name or None,
        pod_namespace=item.metadata.namespace or None,
        pod_uid=item.metadata.uid or None,
        attempt=item.metadata.attempt,
        state=state,
        state_raw=word,
        created_at=instant_from(item.created_at),
        runtime_handler=item.runtime_handler or None,
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def record_from(
    item: cri_pb2.Container, store: Store, sandboxes: Mapping[str, Sandbox]
) -> ContainerRecord:
    """A container as the list has it: without times of its run, pid and exit code."""
    word, state = _STATES.get(item.state, (str(item.state), State.UNKNOWN))
    labels, annotations = dict(item.labels), dict(item.annotations)
    sandbox = sandboxes.get(item.pod_sandbox_id)
    return ContainerRecord(
        ref=Ref(origin=store.origin, namespace=store.namespace, id=item.id),
        layer=Layer.ENGINE,
        name=item.metadata.name or None,
        image_ref=item.image.user_specified_image or item.image.image or None,
        image_id=item.image_id or item.image_ref or None,
        state=state,
        state_raw=word,
        created_at=instant_from(item.created_at),
        restart_count=_restarts_from(annotations, item.metadata.attempt),
        labels=labels,
        annotations=annotations,
        pod=_pod_from(item.pod_sandbox_id, sandbox, labels),
        attempt=item.metadata.attempt,
        runtime_handler=None if sandbox is None else sandbox.runtime_handler,
        below=store.below,
        below_namespace=store.below_namespace,
        is_sandbox=False,
        store_uid=store.owner_uid,
    )


def detailed(record: ContainerRecord, answer: cri_pb2.ContainerStatusResponse) -> ContainerRecord:
    """A record with what only ContainerStatus tells."""
    status = answer.status
    word, state = _STATES.get(status.state, (str(status.state), State.UNKNOWN))
    info = info_in(answer.info)
    has_ended = state is State.STOPPED
    return replace(
        record,
        state=state,
        state_raw=word,
        started_at=instant_from(status.started_at),
        finished_at=instant_from(status.finished_at) if has_ended else None,
        exit_code=status.exit_code if has_ended else None,
        exit_reason=(status.reason or None) if has_ended else None,
        oom_killed=status.reason == "OOMKilled" if has_ended else None,
        log_path=status.log_path or None,
        pid=positive(info.get("pid")) if state in (State.RUNNING, State.CREATED) else None,
        command=_command_in(info),
        oci_runtime=_binary_in(info),
        runtime_type=text(info.get("runtimeType")),
        cgroup_path=text(mapping(_spec_in(info).get("linux")).get("cgroupsPath")),
        snapshotter=text(info.get("snapshotter")),
        snapshot_key=text(info.get("snapshotKey")),
    )


def detailed_sandbox(sandbox: Sandbox, answer: cri_pb2.PodSandboxStatusResponse) -> Sandbox:
    """A sandbox with its pid: containerd tells it, CRI-O and cri-dockerd do not."""
    word, state = _SANDBOX_STATES.get(
        answer.status.state, (str(answer.status.state), State.UNKNOWN)
    )
    pid = positive(info_in(answer.info).get("pid"))
    is_ready = state is State.RUNNING
    return replace(sandbox, state=state, state_raw=word, pid=pid if is_ready else None)


def document_from(answer: Any) -> dict[str, Any]:
    """A verbose status as JSON; what the runtime adds is JSON itself, under one key."""
    from google.protobuf.json_format import MessageToDict

    document: dict[str, Any] = MessageToDict(answer.status, preserving_proto_field_name=True)
    document["info"] = info_in(answer.info)
    return document


def info_in(info: Mapping[str, str]) -> dict[str, Any]:
    """What a runtime adds to a verbose answer; empty where it adds nothing.

    Source: containerd, internal/cri/server, toCRIContainerInfo; CRI-O, server/container_status.go.
    """
    try:
        document = json.loads(info.get("info") or "{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def instant_from(nanoseconds: int) -> datetime | None:
    """An instant; 0 is none, and so is what no calendar has."""
    if nanoseconds <= 0:
        return None
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


def _pod_from(sandbox_id: str, sandbox: Sandbox | None, labels: Mapping[str, str]) -> Pod:
    """The sandbox's own words; the kubelet's labels where it went away meanwhile."""
    if sandbox is None:
        return Pod(
            name=labels.get(_POD_NAME),
            namespace=labels.get(_POD_NAMESPACE),
            uid=labels.get(_POD_UID),
            sandbox_id=sandbox_id or None,
        )
    return Pod(
        name=sandbox.pod_name,
        namespace=sandbox.pod_namespace,
        uid=sandbox.pod_uid,
        sandbox_id=sandbox_id,
    )


def _restarts_from(annotations: Mapping[str, str], attempt: int) -> int:
    """The kubelet counts in an annotation, and gives each start an attempt of that number."""
    word = annotations.get(_RESTARTS, "")
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else attempt


def _spec_in(info: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(info.get("runtimeSpec"))


def _command_in(info: Mapping[str, Any]) -> str | None:
    args = items(mapping(_spec_in(info).get("process")).get("args"))
    return " ".join(arg for arg in args if isinstance(arg, str)) or None


def _binary_in(info: Mapping[str, Any]) -> str | None:
    """The OCI runtime's binary. containerd 2 writes the protobuf's names, before it was Go's."""
    options = mapping(info.get("runtimeOptions"))
    return text(options.get("binary_name")) or text(options.get("BinaryName"))
