from rtscope.backends.shim.bundles import (
    canonical,
    oci_root_from,
    runtime_type_of,
    spec_from,
    state_of,
)


def test_state_of_both_layouts():
    v2 = "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/abc"
    assert state_of(v2) == "/run/k3s/containerd"
    assert state_of("/var/run/c/io.containerd.runtime.v1.linux/default/x") == "/run/c"


def test_state_of_other_directories_is_none():
    assert state_of("/run/containerd/io.containerd.runtime.v2.task/default") is None
    assert state_of("/run/containerd/io.containerd.runtime.v2.task/default/x/rootfs") is None
    assert state_of("/home/x") is None
    assert state_of("") is None


def test_canonical_only_var_run():
    assert canonical("/var/run/docker") == "/run/docker"
    assert canonical("/var/lib/docker") == "/var/lib/docker"
    assert canonical("/var/running") == "/var/running"


def test_oci_root_from_default_and_option():
    assert oci_root_from(None, "moby") == "/run/containerd/runc/moby"
    assert oci_root_from("/var/run/docker/runtime-runc", "moby") == "/run/docker/runtime-runc/moby"


def test_runtime_type_of_kinds():
    assert runtime_type_of("runc-v2") == "io.containerd.runc.v2"
    assert runtime_type_of("runsc-v1") == "io.containerd.runsc.v1"
    assert runtime_type_of("linux-v1") == "io.containerd.runtime.v1.linux"
    assert runtime_type_of("odd") is None


def test_spec_from_document_keeps_what_the_model_has():
    document = {
        "process": {"args": ["sleep", "1"], "env": ["SECRET=1"]},
        "root": {"path": "rootfs"},
        "hostname": "h",
        "linux": {"cgroupsPath": "/a/b"},
        "annotations": {"io.kubernetes.cri.sandbox-id": "s", "odd": 5},
    }
    assert spec_from(document) == {
        "args": "sleep 1",
        "rootfs": "rootfs",
        "hostname": "h",
        "cgroups_path": "/a/b",
        "annotation.io.kubernetes.cri.sandbox-id": "s",
    }


def test_spec_from_hostile_documents_never_raises():
    assert spec_from([]) is None
    assert spec_from({"process": 5, "root": [], "linux": None, "annotations": "x"}) == {}
    assert spec_from({"process": {"args": [1, "a"]}}) == {"args": "a"}
