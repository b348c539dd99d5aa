import json

import pytest

from rtscope.procfs.daemons import (
    daemon_kind,
    is_daemon_call,
    is_daemon_exe,
    options_of,
    socket_path,
)
from tests.unit.procfs.tree import Tree


@pytest.mark.parametrize(
    ("comm", "exe", "args"),
    [
        (b"dockerd", "/usr/bin/dockerd", ["dockerd", "-H", "fd://"]),
        (b"containerd", "/usr/local/bin/containerd", ["containerd"]),
        (b"containerd", "/var/lib/rancher/k3s/data/x/bin/k3s", ["containerd", "-c", "/x"]),
        (b"crio", "/usr/bin/crio", ["/usr/bin/crio"]),
        (b"cri-dockerd", "/usr/bin/cri-dockerd", ["cri-dockerd"]),
        (b"podman", "/usr/bin/podman", ["podman", "--root", "/r", "system", "service", "-t", "0"]),
        (b"k3s-server", "/usr/local/bin/k3s", ["/usr/local/bin/k3s", "server"]),
        (b"k3s-server", "/usr/local/bin/k3s", ["/usr/local/bin/k3s server"]),
        (b"kubelet", "/usr/bin/kubelet", ["/usr/bin/kubelet", "--config=/c"]),
        (b"buildkitd", "/usr/bin/buildkitd", ["buildkitd"]),
        (b"lxd", "/snap/lxd/1/bin/lxd", ["lxd", "--logfile", "x"]),
        (b"incusd", "/usr/libexec/incusd", ["incusd"]),
    ],
)
def test_daemons_are_recognised(comm: bytes, exe: str, args: list[str]) -> None:
    kind = daemon_kind(comm)
    assert kind is not None
    assert is_daemon_exe(kind, exe)
    assert is_daemon_call(kind, args)


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("podman", ["podman", "run", "web"]),
        ("podman", ["podman", "run", "system", "x"]),
        ("k3s", ["k3s", "kubectl", "get", "pods"]),
        ("dockerd", ["dockerd", "--version"]),
        ("containerd", ["containerd", "config", "dump"]),
        ("containerd", ["containerd", "publish"]),
    ],
)
def test_other_calls_of_the_same_binary_are_no_daemon(kind: str, args: list[str]) -> None:
    assert not is_daemon_call(kind, args)


def test_other_executable_is_no_daemon() -> None:
    assert not is_daemon_exe("dockerd", "/usr/bin/python3.11")
    assert daemon_kind(b"dockerd-lookalike") is None


def test_dockerd_defaults(tree: Tree) -> None:
    options = options_of(tree.host, "dockerd", ["dockerd"], 0)
    assert options["root"] == "/var/lib/docker"
    assert options["exec_root"] == "/run/docker"
    assert options["containerd_namespace"] == "moby"
    assert options["hosts"] == "unix:///run/docker.sock"
    assert "containerd" not in options


def test_dockerd_arguments_beat_its_file(tree: Tree) -> None:
    document = {"data-root": "/from/file", "hosts": ["unix:///f.sock", "tcp://0.0.0.0:2375"]}
    tree.file("/conf.json", json.dumps({**document, "exec-root": "/exec"}))
    args = ["dockerd", "--config-file=/conf.json", "--data-root", "/from/args"]
    args += ["--containerd", "unix:///var/run/c.sock", "--containerd-namespace", "mine"]
    options = options_of(tree.host, "dockerd", args, 0)
    assert (options["root"], options["exec_root"]) == ("/from/args", "/exec")
    assert options["hosts"].split("\n") == document["hosts"]
    assert (options["containerd"], options["containerd_namespace"]) == ("/run/c.sock", "mine")


@pytest.mark.parametrize(
    "args", [["-H", "unix:///a"], ["-Hunix:///a"], ["--host=unix:///a"], ["--host", "unix:///a"]]
)
def test_dockerd_hosts_in_every_spelling(tree: Tree, args: list[str]) -> None:
    more = ["-H", "fd://"]
    options = options_of(tree.host, "dockerd", ["dockerd", *args, *more], 0)
    assert options["hosts"].split("\n") == ["unix:///a", "fd://"]


def test_dockerd_of_a_user_has_the_users_directories(tree: Tree) -> None:
    options = options_of(tree.host, "dockerd", ["dockerd"], 54321)
    assert options["root"] == "/home/54321/.local/share/docker"
    assert options["hosts"] == "unix:///run/user/54321/docker.sock"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"hosts": 3, "data-root": 7}', "[" * 9000])
def test_dockerd_file_that_makes_no_sense_is_left_aside(tree: Tree, content: str) -> None:
    tree.file("/etc/docker/daemon.json", content)
    assert options_of(tree.host, "dockerd", ["dockerd"], 0)["root"] == "/var/lib/docker"


def test_containerd_reads_its_file_and_what_it_imports(tree: Tree) -> None:
    tree.file(
        "/etc/c.toml",
        'version = 2\nroot = "/r"\nstate = "/s"\nimports = ["conf.d/*.toml", "/none/*.toml"]\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "/s/c.sock"\n'
        '[debug]\naddress = "/s/debug.sock"\n',
    )
    tree.file("/etc/conf.d/a.toml", 'state = "/imported"\n')
    tree.file("/etc/conf.d/b.txt", 'state = "/not"\n')
    options = options_of(tree.host, "containerd", ["containerd", "-c", "/etc/c.toml"], 0)
    assert (options["root"], options["state"]) == ("/r", "/imported")
    assert (options["address"], options["debug_address"]) == ("/s/c.sock", "/s/debug.sock")
    assert options["disabled_plugins"] == "io.containerd.grpc.v1.cri"


def test_containerd_arguments_beat_its_file(tree: Tree) -> None:
    tree.file("/etc/containerd/config.toml", 'root = "/r"\nstate = "/s"\n')
    args = ["containerd", "--address=/a.sock", "--state", "/mine"]
    options = options_of(tree.host, "containerd", args, 0)
    assert (options["root"], options["state"], options["address"]) == ("/r", "/mine", "/a.sock")


@pytest.mark.parametrize("content", ["= broken", "grpc = 3\nroot = []\n", 'grpc = "x"\n'])
def test_containerd_file_that_makes_no_sense_leaves_the_defaults(tree: Tree, content: str) -> None:
    tree.file("/etc/containerd/config.toml", content)
    options = options_of(tree.host, "containerd", ["containerd"], 0)
    assert options["state"] == "/run/containerd"
    assert options["address"] == "/run/containerd/containerd.sock"


def test_crio_merges_its_files_in_order(tree: Tree) -> None:
    tree.file(
        "/etc/crio/crio.conf", '[crio]\nroot = "/a"\n[crio.api]\nlisten = "/var/run/c.sock"\n'
    )
    tree.file(
        "/etc/crio/crio.conf.d/10.conf",
        '[crio]\nroot = "/b"\n[crio.runtime]\ncontainer_exits_dir = "/x"\n'
        '[crio.runtime.runtimes.crun]\nruntime_root = "/run/crun"\n',
    )
    options = options_of(tree.host, "crio", ["crio"], 0)
    assert (options["root"], options["address"]) == ("/b", "/run/c.sock")
    assert (options["exit_dir"], options["oci_roots"]) == ("/x", "/run/crun")


def test_podman_service_takes_its_uri_and_global_flags(tree: Tree) -> None:
    args = "podman --root /r --runroot /rr --runtime-flag root=/oci system service --time=0"
    options = options_of(tree.host, "podman", [*args.split(), "unix:///var/run/p.sock"], 0)
    assert (options["root"], options["run_root"], options["oci_root"]) == ("/r", "/rr", "/oci")
    assert options["address"] == "/run/p.sock"
    usual = options_of(tree.host, "podman", ["podman", "system", "service"], 0)
    assert usual["address"] == "/run/podman/podman.sock"


def test_kubelet_takes_its_endpoint_from_arguments_or_file(tree: Tree) -> None:
    tree.file("/k.yaml", 'kind: KubeletConfiguration\ncontainerRuntimeEndpoint: "unix:///k.sock"\n')
    by_file = options_of(tree.host, "kubelet", ["kubelet", "--config", "/k.yaml"], 0)
    assert by_file["address"] == "/k.sock"
    args = ["kubelet", "--config=/k.yaml", "--container-runtime-endpoint=unix:///a.sock"]
    assert options_of(tree.host, "kubelet", args, 0)["address"] == "/a.sock"


def test_cri_dockerd_and_k3s(tree: Tree) -> None:
    options = options_of(tree.host, "cri-dockerd", ["cri-dockerd"], 0)
    assert options == {"address": "/run/cri-dockerd.sock", "docker": "/run/docker.sock"}
    assert "address" in options_of(tree.host, "k3s", ["k3s", "server", "--docker"], 0)
    assert options_of(tree.host, "lxc", ["lxd"], 0) == {}


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("unix:///var/run/a", "/run/a"),
        ("unix:/a", "/a"),
        ("/var/run/a/var/run/b", "/run/a/var/run/b"),
        ("tcp://h:1", "tcp://h:1"),
    ],
)
def test_socket_path(address: str, path: str) -> None:
    assert socket_path(address) == path
