from pathlib import Path

import pytest

from rtscope.procfs.cgroups import CgroupReader, lines_of, parse_path
from tests.unit.procfs.tree import Tree

A = "a" * 64
B = "b" * 64
UID = "0f0e0d0c-1111-2222-3333-444455556666"
UID_ = UID.replace("-", "_")
STATIC = "9" * 32

SHAPES = [
    (f"/docker/{A}", "docker", A, None),
    (f"/system.slice/docker-{A}.scope", "docker", A, None),
    (f"/P/{A}", "unknown", A, None),
    (f"/P.slice/docker-{A}.scope", "docker", A, None),
    (f"/user.slice/user-7.slice/user@7.service/user.slice/docker-{A}.scope", "docker", A, None),
    (f"/ecs/task/{A}", "ecs", A, None),
    (f"/ecs/cluster/task/{A}", "ecs", A, None),
    ("/default/c-runc", "containerd", "c-runc", None),
    (f"/k8s.io/{A}", "cri", A, None),
    (f"/system.slice/nerdctl-{A}.scope", "containerd", A, None),
    ("/system.slice/ctr-web.scope", "containerd", "web", None),
    (
        f"/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{A}",
        "cri",
        A,
        UID,
    ),
    (f"/kubepods/pod{UID}/{A}", "cri", A, UID),
    (f"/kubepods/burstable/pod{UID}/{A}", "cri", A, UID),
    (f"/kubepods/besteffort/pod{STATIC}/{A}", "cri", A, STATIC),
    (f"/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{A}.scope", "cri", A, UID),
    (
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/"
        f"crio-{A}.scope/container",
        "crio",
        A,
        UID,
    ),
    (f"/kubepods.slice/kubepods-pod{UID_}.slice/docker-{A}.scope", "docker", A, UID),
    (f"/kubepods/burstable/pod{UID}/crio-{A}", "crio", A, UID),
    (f"/system.slice/crio-{A}.scope", "crio", A, None),
    (f"/machine.slice/libpod-{A}.scope/container", "podman", A, None),
    (f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", "podman", A, None),
    (f"/libpod_parent/libpod-{A}", "podman", A, None),
    (f"/system.slice/app.service/libpod-payload-{A}", "podman", A, None),
    (f"/user.slice/user-7.slice/user@7.service/user.slice/libpod-{A}.scope", "podman", A, None),
    (f"/user.slice/podman-77.scope/{A}", "podman", A, None),
    ("/docker/buildkit/abcdefghij0123456789klmno", "buildkit", "abcdefghij0123456789klmno", None),
    ("/docker/buildx/x1", "buildkit", "x1", None),
    ("/buildkit/id7", "buildkit", "id7", None),
    ("/lxc/web", "lxc", "web", None),
    ("/lxc.payload/web", "lxc", "web", None),
    ("/lxc.payload.web/system.slice/cron.service", "lxc", "web", None),
    ("/machine.slice/machine-lxc\\x2d77\\x2dweb.scope/libvirt", "libvirt-lxc", "web", None),
    ("/machine/web.libvirt-lxc", "libvirt-lxc", "web", None),
    ("/libvirt/lxc/web", "libvirt-lxc", "web", None),
    ("/machine.slice/systemd-nspawn@my\\x2dweb.service/payload", "nspawn", "my-web", None),
    ("/machine.slice/machine-web.scope/payload/init.scope", "nspawn", "web", None),
    (f"/kata_overhead/{A}", "cri", A, None),
]


@pytest.mark.parametrize(("path", "owner", "name", "pod_uid"), SHAPES)
def test_parse_path_of_a_container_names_owner_id_and_pod(
    path: str, owner: str, name: str, pod_uid: str | None
) -> None:
    shape = parse_path(path, {"default", "k8s.io"})
    assert shape is not None
    assert (shape.owner, shape.id, shape.pod_uid, shape.is_monitor) == (owner, name, pod_uid, False)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/init.scope",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/system.slice/kubelet.service",
        "/user.slice/user-0.slice/session-4.scope",
        "/system.slice/run-r0123456789abcdef0123456789abcdef.scope",
        "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
        "/podruntime/kubelet",
        "/somewhere/else",
        f"/docker/{A}x",
        f"/docker/{'a' * 63}",
    ],
)
def test_parse_path_of_anything_else_is_none(path: str) -> None:
    assert parse_path(path, {"default"}) is None


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        (f"/machine.slice/libpod-conmon-{A}.scope", "podman"),
        (f"/kubepods.slice/crio-conmon-{A}.scope", "crio"),
        ("/lxc.monitor.web", "lxc"),
        ("/lxc.monitor/web", "lxc"),
        ("/libpod_parent/conmon", "podman"),
    ],
)
def test_parse_path_of_a_monitor_is_marked(path: str, owner: str) -> None:
    shape = parse_path(path)
    assert shape is not None
    assert shape.is_monitor
    assert shape.owner == owner


def test_parse_path_of_an_unknown_namespace_is_no_container() -> None:
    assert parse_path("/somebody/web", {"default"}) is None


def test_parse_path_deepest_match_is_the_container_and_the_one_above_its_parent() -> None:
    shape = parse_path(f"/docker/{A}/kubelet/kubepods/burstable/pod{UID}/{B}")
    assert shape is not None
    assert (shape.id, shape.parent_id, shape.owner) == (B, A, "cri")
    inner = parse_path(f"/docker/{A}/default/web", {"default"})
    assert inner is not None
    assert (inner.id, inner.parent_id, inner.namespace) == ("web", A, "default")


def test_parse_path_directory_ends_at_the_container() -> None:
    shape = parse_path(f"/machine.slice/libpod-{A}.scope/container/app")
    assert shape is not None
    assert shape.directory == f"/machine.slice/libpod-{A}.scope"


def test_lines_of_keeps_colons_in_paths() -> None:
    pairs = lines_of(b"1:name=systemd:/a:b\n0::/x\n\n")
    assert pairs == (("name=systemd", "/a:b"), ("", "/x"))


def test_reader_takes_the_hierarchy_that_tells_most(tree: Tree) -> None:
    tree.process(50, "sh", cgroup=f"9:name=systemd:/\n8:pids:/docker/{A}\n4:memory:/x/y\n0::/\n")
    reader = CgroupReader(tree.host)
    path, shape = reader.parse(reader.content(50))
    assert path == f"/docker/{A}"
    assert shape is not None


def test_reader_on_a_node_that_is_a_container_leaves_out_its_own_cgroup(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tree.proc / "1" / "cgroup").write_text(f"0::/docker/{A}/init.scope\n")
    tree.process(50, "containerd", cgroup=f"0::/docker/{A}/system.slice/containerd.service\n")
    tree.process(51, "sh", cgroup=f"0::/docker/{A}/kubepods/pod{UID}/{B}\n")
    reader = CgroupReader(tree.host)
    assert reader.parse(reader.content(50))[1] is None
    shape = reader.parse(reader.content(51))[1]
    assert shape is not None
    assert (shape.id, shape.parent_id) == (B, None)


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("sys/fs/cgroup/freezer/c/freezer.state", "FROZEN\n", True),
        ("sys/fs/cgroup/freezer/c/freezer.state", "THAWED\n", False),
        ("sys/fs/cgroup/c/cgroup.events", "populated 1\nfrozen 1\n", True),
        ("sys/fs/cgroup/unified/c/cgroup.events", "populated 1\nfrozen 0\n", False),
        ("elsewhere", "", None),
    ],
)
def test_is_frozen_reads_both_hierarchies(
    tree: Tree, path: str, content: str, expected: bool | None
) -> None:
    tree.file(path, content)
    assert CgroupReader(tree.host).is_frozen(b"6:freezer:/c\n0::/c\n") is expected


def test_is_frozen_outside_the_readers_cgroup_namespace_is_unknown(tree: Tree) -> None:
    assert CgroupReader(tree.host).is_frozen(b"0::/../../c\n") is None
