import json
from datetime import UTC, datetime

import pytest

from rtscope._pb import containers_pb2, images_pb2, runc_legacy_options_pb2, runc_options_pb2
from rtscope.backends.containerd.convert import document_from, image_from, record_from, spec_in
from rtscope.model.records import ContainerRecord
from rtscope.model.state import Layer


def container(**fields: object) -> containers_pb2.Container:
    return containers_pb2.Container(**{"id": "c1", **fields})  # type: ignore[arg-type]


def record(message: containers_pb2.Container, *, with_spec: bool = False) -> ContainerRecord:
    return record_from(message, origin="/run/containerd", namespace="default", with_spec=with_spec)


def test_record_from_minimal_has_no_zero_values():
    found = record(container())
    assert (found.ref.origin, found.ref.namespace, found.ref.id) == (
        "/run/containerd",
        "default",
        "c1",
    )
    assert found.layer is Layer.CONTAINER
    for name in ("name", "image_ref", "state", "pid", "created_at", "runtime_type", "oci_runtime"):
        assert getattr(found, name) is None, name
    assert (found.pod, found.is_sandbox, found.snapshotter) == (None, None, None)


def test_record_from_full():
    message = container(image="docker.io/a/b:1", snapshotter="overlayfs", snapshot_key="k")
    message.runtime.name = "io.containerd.runc.v2"
    options = runc_options_pb2.Options(binary_name="/usr/bin/crun", root="/run/x")
    message.runtime.options.type_url = "containerd.runc.v1.Options"
    message.runtime.options.value = options.SerializeToString()
    message.created_at.FromSeconds(1_700_000_000)
    found = record(message)
    assert found.image_ref == "docker.io/a/b:1"
    assert (found.runtime_type, found.oci_runtime) == ("io.containerd.runc.v2", "/usr/bin/crun")
    assert (found.snapshotter, found.snapshot_key) == ("overlayfs", "k")
    assert found.created_at == datetime.fromtimestamp(1_700_000_000, UTC)


def test_record_from_legacy_options():
    message = container()
    message.runtime.options.type_url = "types.containerd.io/containerd.linux.runc.RuncOptions"
    message.runtime.options.value = runc_legacy_options_pb2.RuncOptions(
        runtime="runc"
    ).SerializeToString()
    assert record(message).oci_runtime == "runc"


def test_record_from_broken_options_is_none():
    message = container()
    message.runtime.options.type_url = "containerd.runc.v1.Options"
    message.runtime.options.value = b"\xff\xff"
    assert record(message).oci_runtime is None


def test_record_from_cri_container_names_its_pod():
    labels = {
        "io.cri-containerd.kind": "container",
        "io.kubernetes.container.name": "app",
        "io.kubernetes.pod.name": "web-0",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": "u1",
    }
    found = record(container(labels=labels, sandbox="s1"))
    assert (found.name, found.is_sandbox) == ("app", False)
    assert found.pod is not None
    assert (found.pod.name, found.pod.namespace) == ("web-0", "shop")
    assert (found.pod.uid, found.pod.sandbox_id) == ("u1", "s1")


def test_record_from_cri_sandbox():
    found = record(container(labels={"io.cri-containerd.kind": "sandbox"}))
    assert found.is_sandbox is True
    assert found.pod is not None
    assert found.pod.sandbox_id == "c1"


@pytest.mark.parametrize(
    ("value", "sandbox_id"),
    [
        (b'{"Version": "v1", "Metadata": {"SandboxID": "s7"}}', "s7"),
        (b'{"Metadata": {"SandboxID": 7}}', None),
        (b'{"Metadata": []}', None),
        (b"[]", None),
        (b"\xff", None),
    ],
)
def test_record_from_cri_container_of_older_containerd(value: bytes, sandbox_id: str | None):
    message = container(labels={"io.cri-containerd.kind": "container"})
    message.extensions["io.cri-containerd.container.metadata"].value = value
    found = record(message)
    assert found.pod is not None
    assert found.pod.sandbox_id == sandbox_id


def test_record_from_nerdctl_name():
    assert record(container(labels={"nerdctl/name": "web"})).name == "web"


def test_record_from_spec_only_on_request():
    spec = {
        "process": {"args": ["sleep", "1"]},
        "linux": {"cgroupsPath": "/x/y"},
        "annotations": {"io.kubernetes.cri.sandbox-id": "s9", "n": 1},
    }
    message = container(labels={"io.cri-containerd.kind": "container"})
    message.spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    message.spec.value = json.dumps(spec).encode()
    assert record(message).command is None
    found = record(message, with_spec=True)
    assert (found.command, found.cgroup_path) == ("sleep 1", "/x/y")
    assert found.annotations == {"io.kubernetes.cri.sandbox-id": "s9"}


@pytest.mark.parametrize("spec", [b"", b"{", b"[]", b'{"process": 1, "linux": 2}', b'"x"'])
def test_record_from_hostile_spec_never_raises(spec: bytes):
    message = container()
    message.spec.value = spec
    found = record(message, with_spec=True)
    assert (found.command, found.cgroup_path) == (None, None)


def test_document_from_is_json_with_the_decoded_spec():
    message = container(labels={"a": "b"})
    message.spec.value = b'{"ociVersion": "1.0"}'
    message.runtime.options.type_url = "containerd.runc.v1.Options"
    message.runtime.options.value = runc_options_pb2.Options(root="/r").SerializeToString()
    message.extensions["x"].type_url = "t"
    message.extensions["x"].value = b"\x00\x01"
    message.created_at.FromSeconds(1_700_000_000)
    document = document_from(message)
    assert json.loads(json.dumps(document)) == document
    assert document["spec"] == {"ociVersion": "1.0"}
    assert document["extensions"] == {"x": {"type_url": "t", "size_bytes": 2}}
    assert document["runtime"]["options"] == {
        "type_url": "containerd.runc.v1.Options",
        "root": "/r",
    }
    assert document["created_at"] == "2023-11-14T22:13:20Z"
    assert document["updated_at"] is None


def test_spec_in_missing_is_empty():
    assert spec_in(container()) == {}


def test_image_from_is_named_by_its_reference():
    message = images_pb2.Image(name="docker.io/a/b:1")
    message.target.digest = "sha256:1"
    found = image_from(message, origin="/o", namespace="k8s.io")
    assert (found.ref.id, found.ref.namespace) == ("docker.io/a/b:1", "k8s.io")
    assert (found.image_digest, found.size_bytes, found.created_at) == ("sha256:1", None, None)
