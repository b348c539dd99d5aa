import os
from pathlib import Path

import pytest

from rtscope.config.settings import Settings
from rtscope.correlate.discover import discover
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint
from rtscope.model.state import EndpointState
from rtscope.procfs.host import BlockedError, Host
from rtscope.procfs.node import read_node
from rtscope.procfs.scan import observe_kernel
from tests.unit.procfs.tree import Tree, is_root, rooted

A = "a" * 64
B = "b" * 64


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return rooted(tmp_path, monkeypatch)


def _roots(tree: Tree, kind: str, **changes: object) -> dict[str, Endpoint]:
    host: Host = tree.host
    kernel = observe_kernel(host, read_node(host))
    settings = replace(Settings(), **changes)
    found = [e for e in discover(kernel, host, settings) if e.kind == kind]
    assert len(found) == len({endpoint.address for endpoint in found})
    return {endpoint.address: endpoint for endpoint in found}


def test_oci_roots_of_shims_come_from_their_options(tree: Tree) -> None:
    bundle = tree.shim(300, A)
    tree.file(
        f"{bundle}/options.json", '{"binary_name": "runc", "root": "/run/docker/runtime-runc"}'
    )
    tree.shim(310, "web", namespace="default")
    tree.directory("/run/docker/runtime-runc/moby")
    tree.directory("/run/containerd/runc/default")
    found = _roots(tree, "oci")
    assert set(found) == {"/run/docker/runtime-runc/moby", "/run/containerd/runc/default"}
    docker = found["/run/docker/runtime-runc/moby"]
    assert (docker.namespace, docker.origin) == ("moby", "/run/docker/runtime-runc/moby")
    assert docker.found_by == ("shim options.json", "default path")
    assert found["/run/containerd/runc/default"].namespace == "default"


def test_oci_roots_of_monitors_runtimes_and_daemons(tree: Tree) -> None:
    conmon = ["/usr/bin/conmon", "-c", A, "--runtime-arg", "--root=/p/runc"]
    tree.process(300, "conmon", cmdline=conmon, exe="/usr/bin/conmon")
    tree.process(400, "exe", cmdline=["runsc-sandbox", "--root=/r/runsc", "boot"])
    tree.dockerd(100, "--exec-root", "/d/exec")
    for path in ("/p/runc", "/r/runsc", "/d/exec/runtime-crun/mine", "/conf", "/run/youki"):
        tree.directory(path)
    found = _roots(tree, "oci", roots={"oci": ("/conf/", "/none")}, hosts=("oci:///gone",))
    assert set(found) == {
        "/p/runc",
        "/r/runsc",
        "/d/exec/runtime-crun/mine",
        "/conf",
        "/run/youki",
        "/gone",
    }
    assert found["/gone"].is_named
    assert found["/d/exec/runtime-crun/mine"].namespace == "mine"


def test_oci_roots_of_users(tree: Tree) -> None:
    tree.directory("/run/user/1500/crun")
    assert set(_roots(tree, "oci")) == {"/run/user/1500/crun"}


@pytest.mark.skipif(not is_root(), reason="gives files to another user")
def test_a_root_of_another_user_carries_the_user(tree: Tree) -> None:
    os.chown(tree.directory("/run/user/1500/crun"), 1500, 1500)
    assert _roots(tree, "oci")["/run/user/1500/crun"].owner_uid == 1500


@pytest.mark.parametrize("content", ["", "{", '{"root": ""}', '{"root": "relative"}', "[]"])
def test_options_that_name_no_root_leave_the_default(tree: Tree, content: str) -> None:
    bundle = tree.shim(300, "web", namespace="default")
    tree.file(f"{bundle}/options.json", content)
    tree.directory("/run/containerd/runc/default")
    assert set(_roots(tree, "oci")) == {"/run/containerd/runc/default"}


def test_options_that_are_a_fifo_do_not_block(tree: Tree) -> None:
    bundle = tree.shim(300, "web", namespace="default")
    os.mkfifo(tree.directory(bundle) / "options.json")
    tree.directory("/run/containerd/runc/default")
    assert set(_roots(tree, "oci")) == {"/run/containerd/runc/default"}


def test_data_roots_of_configuration_when_docker_is_dead(tree: Tree) -> None:
    tree.file("/etc/docker/daemon.json", '{"data-root": "/srv/docker"}')
    tree.directory("/srv/docker")
    tree.directory("/mine")
    found = _roots(tree, "dockerfs", roots={"docker": ("/mine",)})
    assert set(found) == {"/srv/docker", "/mine"}
    assert found["/srv/docker"].found_by == ("/etc/docker/daemon.json",)


def test_graph_roots_of_monitors_files_and_users(tree: Tree) -> None:
    conmon = [
        "/usr/bin/conmon",
        "-c",
        A,
        "--exit-command-arg",
        "--root",
        "--exit-command-arg",
        "/g",
    ]
    tree.process(300, "conmon", cmdline=conmon, exe="/usr/bin/conmon")
    tree.file("/etc/containers/storage.conf", '[storage]\ngraphroot = "/from/file"\n')
    tree.directory("/run/user/54321")
    paths = (
        "/g",
        "/from/file",
        "/var/lib/containers/storage",
        "/home/54321/.local/share/containers/storage",
    )
    for path in paths:
        tree.directory(path)
    found = _roots(tree, "podmanfs")
    assert set(found) == set(paths)
    assert found["/g"].origin == "/g"


def test_one_root_with_two_names_is_one_endpoint(tree: Tree) -> None:
    tree.directory("/srv/storage")
    tree.directory("/var/lib/containers")
    (tree.root / "var/lib/containers/storage").symlink_to("/srv/storage")
    (found,) = _roots(tree, "podmanfs", roots={"podman": ("/srv/storage",)}).values()
    assert found.found_by == ("configuration roots.podman", "default path")


def test_shims_are_one_endpoint_even_after_they_died(tree: Tree) -> None:
    assert _roots(tree, "shim") == {}
    tree.directory("/run/k3s/containerd/io.containerd.runtime.v2.task")
    assert _roots(tree, "shim")["shims"].found_by == ("/run/k3s/containerd",)
    tree.containerd(200, "--state", "/s")
    tree.directory("/s/io.containerd.runtime.v1.linux")
    tree.shim(300, "web", namespace="default", state_dir="/s")
    assert _roots(tree, "shim")["shims"].found_by == (
        "shim processes",
        "/s",
        "/run/k3s/containerd",
    )


def test_kubelet_is_found_by_directory_or_process(tree: Tree) -> None:
    assert _roots(tree, "kubelet") == {}
    args = ["/usr/bin/kubelet", "--root-dir=/k"]
    tree.process(130, "kubelet", cmdline=args, exe="/usr/bin/kubelet")
    assert set(_roots(tree, "kubelet")) == {"/var/lib/kubelet"}
    tree.directory("/k")
    assert set(_roots(tree, "kubelet")) == {"/k"}


def test_what_does_not_answer_is_listed_as_blocked(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(operation: str, path: str, limit: int, timeout_s: float) -> bytes:
        raise BlockedError(110, "no answer", path)

    monkeypatch.setattr("rtscope.procfs.host.isolated", stuck)
    tree.mounts("/ ext4", "/slow nfs4")
    tree.directory("/slow/runc")
    host = tree.host
    kernel = observe_kernel(host, read_node(host))
    settings = Settings(roots={"oci": ("/slow/runc",)}, hosts=("docker:///slow/d.sock",))
    found = {endpoint.kind: endpoint for endpoint in discover(kernel, host, settings)}
    assert found["oci"].skip is EndpointState.BLOCKED
    assert found["docker"].skip is EndpointState.BLOCKED
    assert "does not answer" in found["docker"].skip_detail


def test_homes_that_may_block_are_left_alone_unless_their_user_runs_something(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noting(operation: str, path: str, limit: int, timeout_s: float) -> bytes:
        asked.append(path)
        raise FileNotFoundError(2, "none", path)

    monkeypatch.setattr("rtscope.procfs.host.isolated", noting)
    tree.mounts("/ ext4", "/home autofs")
    tree.directory("/home")
    tree.directory("/run/user/54321")
    _roots(tree, "podmanfs")
    assert asked == []


def test_the_root_of_a_container_that_waits_for_its_start(tree: Tree) -> None:
    tree.process(400, "runc:[2:INIT]", cmdline=["runc", "init"], namespaces={"pid": 7001})
    (tree.proc / "400" / "fd" / "7").symlink_to("/srv/oci/web/exec.fifo")
    (tree.proc / "400" / "fd" / "8").symlink_to("/srv/other/exec.other")
    tree.directory("/srv/oci/web")
    tree.directory("/srv/other")
    assert set(_roots(tree, "oci")) == {"/srv/oci"}


def test_roots_beside_one_that_was_found(tree: Tree) -> None:
    for path in ("/srv/oci/runc", "/srv/oci/crun", "/srv/oci/other"):
        tree.directory(path)
    found = _roots(tree, "oci", roots={"oci": ("/srv/oci/runc",)})
    assert set(found) == {"/srv/oci/runc", "/srv/oci/crun"}
    assert found["/srv/oci/crun"].found_by == ("beside /srv/oci/runc",)
    assert found["/srv/oci/runc"].found_by == ("configuration roots.oci",)


@pytest.mark.skipif(not is_root(), reason="gives files to another user")
def test_a_user_cannot_name_roots_of_root(tree: Tree) -> None:
    conmon = ["/usr/bin/conmon", "-c", A, "--runtime-arg", "--root=/roots"]
    conmon += ["--exit-command-arg", "--root", "--exit-command-arg", "/roots"]
    tree.process(300, "conmon", cmdline=conmon, exe="/usr/bin/conmon")
    tree.dockerd(100, "--data-root", "/roots", "--containerd-namespace", "evil")
    for pid in (100, 300):
        os.chown(tree.proc / str(pid), 12345, 12345)
    tree.directory("/roots")
    assert [_roots(tree, kind) for kind in ("oci", "dockerfs", "podmanfs")] == [{}, {}, {}]
    os.chown(tree.root / "roots", 12345, 12345)
    for kind in ("oci", "dockerfs", "podmanfs"):
        assert _roots(tree, kind)["/roots"].owner_uid == 12345
