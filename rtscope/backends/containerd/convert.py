"""The messages of containerd's API as facts."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import DecodeError

from rtscope._pb import containers_pb2, images_pb2, runc_legacy_options_pb2, runc_options_pb2
from rtscope.model.records import ContainerRecord, Image, Pod
from rtscope.model.refs import Ref
from rtscope.model.state import Layer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KIND = "io.cri-containerd.kind"
_CRI_METADATA = "io.cri-containerd.container.metadata"


def record_from(
    container: containers_pb2.Container,
    *,
    origin: str,
    namespace: str,
    store_uid: int | None = None,
    with_spec: bool = False,
) -> ContainerRecord:
    """A container's metadata. It has no state: whether it runs is the task's matter.

    Its spec is a JSON document of some 10 kB, so it is parsed only on request.
    """
    labels = dict(container.labels)
    spec = spec_in(container) if with_spec else {}
    annotations = _texts(spec.get("annotations"))
    process = spec.get("process")
    args = process.get("args") if isinstance(process, dict) else None
    linux = spec.get("linux")
    kind = labels.get(_KIND)
    return ContainerRecord(
        ref=Ref(origin=origin, namespace=namespace, id=container.id),
        layer=Layer.CONTAINER,
        name=name_from(labels),
        image_ref=container.image or None,
        command=" ".join(arg for arg in args if isinstance(arg, str)) or None if args else None,
        created_at=_time_from(container.created_at),
        labels=labels,
        annotations=annotations,
        pod=_pod_from(container, labels),
        oci_runtime=oci_runtime_in(container),
        runtime_type=container.runtime.name or None,
        cgroup_path=linux.get("cgroupsPath") if isinstance(linux, dict) else None,
        snapshotter=container.snapshotter or None,
        snapshot_key=container.snapshot_key or None,
        is_sandbox=None if kind is None else kind == "sandbox",
        store_uid=store_uid,
    )


def image_from(image: images_pb2.Image, *, origin: str, namespace: str) -> Image:
    """An image's name and the manifest that it stands for; its size is not in the record."""
    return Image(
        ref=Ref(origin=origin, namespace=namespace, id=image.name),
        image_ref=image.name or None,
        image_digest=image.target.digest or None,
        created_at=_time_from(image.created_at),
    )


def document_from(container: containers_pb2.Container) -> dict[str, Any]:
    """Everything that is read of a container, with its spec and extensions as JSON."""
    return {
        "id": container.id,
        "labels": dict(container.labels),
        "image": container.image or None,
        "runtime": {
            "name": container.runtime.name or None,
            "options": _options_from(container.runtime.options),
        },
        "snapshotter": container.snapshotter or None,
        "snapshot_key": container.snapshot_key or None,
        "created_at": _text_from(container.created_at),
        "updated_at": _text_from(container.updated_at),
        "sandbox": container.sandbox or None,
        "extensions": {name: _any_from(value) for name, value in container.extensions.items()},
        "spec": spec_in(container),
    }


def name_from(labels: Mapping[str, str]) -> str | None:
    """The name that a client gave: nerdctl's, or Kubernetes' name of the container."""
    return labels.get("nerdctl/name") or labels.get("io.kubernetes.container.name") or None


def oci_runtime_in(container: containers_pb2.Container) -> str | None:
    """The binary that the shim was told to run; None where it takes its default.

    Source: containerd, api/types/runc/options/oci.proto (shim v2), and
    runtime/linux/runctypes/runc.proto (legacy).
    """
    options = container.runtime.options
    try:
        if options.type_url.endswith("containerd.runc.v1.Options"):
            return runc_options_pb2.Options.FromString(options.value).binary_name or None
        if options.type_url.endswith("containerd.linux.runc.RuncOptions"):
            return runc_legacy_options_pb2.RuncOptions.FromString(options.value).runtime or None
    except DecodeError:
        return None
    return None


def spec_in(container: containers_pb2.Container) -> dict[str, Any]:
    """The OCI runtime specification in a container's record; empty where there is none.

    Source: containerd packs Go types as JSON into Any (typeurl).
    """
    document = _any_from(container.spec)
    return document if isinstance(document, dict) else {}


def _pod_from(container: containers_pb2.Container, labels: Mapping[str, str]) -> Pod | None:
    kind = labels.get(_KIND)
    name = labels.get("io.kubernetes.pod.name")
    if name is None and kind is None:
        return None
    sandbox_id = container.id if kind == "sandbox" else container.sandbox
    return Pod(
        name=name,
        namespace=labels.get("io.kubernetes.pod.namespace"),
        uid=labels.get("io.kubernetes.pod.uid"),
        sandbox_id=sandbox_id or _sandbox_id_in(container),
    )


def _sandbox_id_in(container: containers_pb2.Container) -> str | None:
    """The sandbox that the CRI plugin notes beside a container; its own field came with 2.0.

    Source: observed, containerd 1.6.20 and 1.7.24.
    """
    if _CRI_METADATA not in container.extensions:
        return None
    document = _any_from(container.extensions[_CRI_METADATA])
    metadata = document.get("Metadata") if isinstance(document, dict) else None
    found = metadata.get("SandboxID") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) and found else None


def _options_from(options: Any) -> dict[str, Any] | None:
    if not options.type_url:
        return None
    found: dict[str, Any] = {"type_url": options.type_url}
    if options.type_url.endswith("containerd.runc.v1.Options"):
        try:
            message = runc_options_pb2.Options.FromString(options.value)
        except DecodeError:
            return found
        found.update({field.name: value for field, value in message.ListFields()})
    return found


def _any_from(value: Any) -> Any:
    """A JSON document in an Any; of anything else what it is and its size."""
    if not value.type_url and not value.value:
        return None
    try:
        return json.loads(value.value)
    except (ValueError, RecursionError):
        return {"type_url": value.type_url, "size_bytes": len(value.value)}


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _time_from(stamp: Any) -> datetime | None:
    """An instant; Go's year 1, an unset field and what no calendar has are none."""
    if stamp.seconds <= 0:
        return None
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None


def _text_from(stamp: Any) -> str | None:
    instant = _time_from(stamp)
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
