import os
import socket
from pathlib import Path

import pytest

from rtscope.backends.base import Discovering
from rtscope.config.settings import Settings
from rtscope.correlate import discover as module
from rtscope.correlate.discover import discover
from rtscope.errors import UsageError
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.state import EndpointState
from rtscope.procfs.host import Host
from rtscope.procfs.node import read_node
from rtscope.procfs.scan import observe_kernel
from tests.unit.procfs.tree import Tree, is_root, rooted

A = "a" * 64
IN_A = f"0::/docker/{A}\n"
OWN = {"pid": 7001, "mnt": 7002}
CONTAINERD = "/run/containerd/containerd.sock"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return rooted(tmp_path, monkeypatch)


def _discover(tree: Tree, settings: Settings | None = None, **changes: object) -> list[Endpoint]:
    host = tree.host
    kernel = observe_kernel(host, read_node(host))
    chosen = replace(settings or Settings(), **changes)
    return list(discover(kernel, host, chosen))


def _by_source(found: list[Endpoint]) -> dict[str, Endpoint]:
    sources = [endpoint.source for endpoint in found]
    assert len(sources) == len(set(sources)), "one endpoint per source"
    return {endpoint.source: endpoint for endpoint in found}


def _sockets(found: list[Endpoint]) -> dict[str, Endpoint]:
    kinds = ("docker", "containerd", "cri", "podman")
    return _by_source([endpoint for endpoint in found if endpoint.kind in kinds])


def test_an_empty_node_has_no_endpoint(tree: Tree) -> None:
    assert _discover(tree) == []


def test_dockerd_on_containerd_is_found_and_tied(tree: Tree) -> None:
    tree.containerd(200, sockets=[21, 22])
    tree.listener(21, CONTAINERD)
    tree.listener(22, f"{CONTAINERD}.ttrpc")
    tree.dockerd(100, "-H", "fd://", "--containerd", CONTAINERD, sockets=[11, 12])
    tree.listener(11, "/run/docker.sock")
    tree.listener(12, "/var/run/docker/libnetwork/abc.sock")
    (tree.proc / "1" / "fd" / "9").symlink_to("socket:[11]")
    tree.directory("/var/lib/docker")
    found = _discover(tree)
    sockets = _sockets(found)
    assert set(sockets) == {
        "docker:///run/docker.sock",
        f"containerd://{CONTAINERD}",
        f"cri://{CONTAINERD}",
    }
    docker = sockets["docker:///run/docker.sock"]
    assert docker.daemon is not None
    assert (docker.daemon.pid, docker.skip, docker.is_remote) == (100, None, False)
    assert (docker.origin, docker.namespace, docker.below) == (
        "/var/lib/docker",
        "moby",
        CONTAINERD,
    )
    assert docker.found_by[0] == "listening socket"
    cri = sockets[f"cri://{CONTAINERD}"]
    assert (cri.origin, cri.namespace) == ("/run/containerd", "k8s.io")
    assert sockets[f"containerd://{CONTAINERD}"].origin == "/run/containerd"
    (files,) = [endpoint for endpoint in found if endpoint.kind == "dockerfs"]
    assert (files.address, files.origin, files.below) == (
        "/var/lib/docker",
        "/var/lib/docker",
        CONTAINERD,
    )


def test_two_containerds_and_two_dockerds_keep_their_partners(tree: Tree) -> None:
    for number, name in ((1, "a"), (2, "b")):
        tree.containerd(
            200 + number,
            "--address",
            f"/{name}/c.sock",
            "--state",
            f"/{name}",
            sockets=[20 + number],
        )
        tree.listener(20 + number, f"/{name}/c.sock")
        tree.dockerd(
            100 + number,
            "-H",
            f"unix:///{name}/d.sock",
            f"--data-root=/{name}/data",
            f"--containerd=/{name}/c.sock",
            "--containerd-namespace",
            f"moby-{name}",
            sockets=[10 + number],
        )
        tree.listener(10 + number, f"/{name}/d.sock")
    sockets = _sockets(_discover(tree))
    for name in "ab":
        docker = sockets[f"docker:///{name}/d.sock"]
        assert (docker.origin, docker.below, docker.namespace) == (
            f"/{name}/data",
            f"/{name}/c.sock",
            f"moby-{name}",
        )
        assert sockets[f"containerd:///{name}/c.sock"].origin == f"/{name}"
    assert len(sockets) == 6


def test_dockerds_own_containerd_is_below_it(tree: Tree) -> None:
    tree.dockerd(100, sockets=[11])
    tree.listener(11, "/var/run/docker.sock", makes_file=False)
    tree.file("/run/docker.sock")
    (tree.root / "var").mkdir()
    (tree.root / "var" / "run").symlink_to("/run")
    own = "/run/docker/containerd/containerd.sock"
    tree.file(
        "/run/docker/containerd/containerd.toml",
        f'state = "/run/docker/containerd/daemon"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{own}"\n',
    )
    config = "/var/run/docker/containerd/containerd.toml"
    tree.containerd(200, "--config", config, ppid=100, sockets=[21])
    tree.listener(21, "/var/run/docker/containerd/containerd.sock", makes_file=False)
    tree.file(own)
    sockets = _sockets(_discover(tree))
    assert set(sockets) == {"docker:///run/docker.sock", f"containerd://{own}"}
    assert sockets["docker:///run/docker.sock"].below == own
    assert sockets[f"containerd://{own}"].origin == "/run/docker/containerd/daemon"


def test_one_socket_with_two_names_is_one_endpoint(tree: Tree) -> None:
    tree.dockerd(100, sockets=[11])
    tree.listener(11, "/run/docker.sock")
    (tree.root / "var").mkdir()
    (tree.root / "var" / "run").symlink_to("/run")
    (tree.root / "srv").mkdir()
    os.link(tree.root / "run" / "docker.sock", tree.root / "srv" / "mine.sock")
    environ = {"DOCKER_HOST": "unix:///var/run/docker.sock"}
    (docker,) = _sockets(_discover(tree, environ=environ)).values()
    assert docker.found_by == (
        "listening socket",
        "dockerd 100 --host",
        "DOCKER_HOST",
        "default path",
    )


def test_what_init_alone_holds_is_inactive_unless_asked_for(tree: Tree) -> None:
    tree.listener(31, "/run/podman/podman.sock")
    (tree.proc / "1" / "fd" / "9").symlink_to("socket:[31]")
    (podman,) = _sockets(_discover(tree)).values()
    assert podman.skip is EndpointState.INACTIVE
    assert "connecting would start it" in podman.skip_detail
    (named,) = _sockets(_discover(tree, hosts=("podman:///run/podman/podman.sock",))).values()
    assert named.skip is EndpointState.INACTIVE
    (asked,) = _sockets(_discover(tree, may_activate=True)).values()
    assert asked.skip is None


def test_what_a_users_systemd_holds_is_inactive(tree: Tree) -> None:
    tree.directory("/run/user/1500")
    tree.listener(31, "/run/user/1500/podman/podman.sock")
    tree.process(900, "systemd", sockets=[31])
    (podman,) = _sockets(_discover(tree)).values()
    assert (podman.skip, podman.address) == (
        EndpointState.INACTIVE,
        "/run/user/1500/podman/podman.sock",
    )


@pytest.mark.parametrize(
    ("state", "skip"), [("T", EndpointState.STOPPED), ("t", EndpointState.STOPPED)]
)
def test_a_stopped_holder_is_not_dialled(tree: Tree, state: str, skip: EndpointState) -> None:
    tree.containerd(200, sockets=[21], state=state, wchan="do_signal_stop")
    tree.listener(21, CONTAINERD)
    for endpoint in _sockets(_discover(tree)).values():
        assert endpoint.skip is skip
        assert (endpoint.holder_state, endpoint.wchan) == (state, "do_signal_stop")


def test_a_holder_stuck_in_the_kernel_is_not_dialled(tree: Tree) -> None:
    tree.dockerd(100, sockets=[11], state="D", wchan="rpc_wait_bit")
    tree.listener(11, "/run/docker.sock")
    (docker,) = _sockets(_discover(tree)).values()
    assert docker.skip is EndpointState.BLOCKED
    assert "rpc_wait_bit" in docker.skip_detail


def test_a_path_without_a_listener_is_dead_and_without_a_file_nothing(tree: Tree) -> None:
    tree.file("/run/docker.sock")
    (docker,) = _sockets(_discover(tree)).values()
    assert docker.skip is EndpointState.DEAD
    assert docker.origin == "/var/lib/docker"


def test_a_dead_containerd_is_named_by_its_shims(tree: Tree) -> None:
    tree.shim(300, A, namespace="k8s.io")
    tree.directory("/run/containerd/io.containerd.runtime.v2.task/k8s.io")
    found = _discover(tree)
    sockets = _sockets(found)
    assert set(sockets) == {f"containerd://{CONTAINERD}", f"cri://{CONTAINERD}"}
    for endpoint in sockets.values():
        assert endpoint.skip is EndpointState.DEAD
        assert endpoint.origin == "/run/containerd"
    assert sockets[f"cri://{CONTAINERD}"].namespace == "k8s.io"
    (shims,) = [endpoint for endpoint in found if endpoint.kind == "shim"]
    assert shims.address == "shims"
    assert "/run/containerd" in shims.found_by


def test_a_dead_dockerd_is_below_nothing_but_what_its_shims_say(tree: Tree) -> None:
    tree.file("/run/docker.sock")
    tree.directory("/var/lib/docker")
    tree.shim(300, A, address="/other/c.sock", state_dir="/other")
    found = _by_source(_discover(tree))
    assert found["docker:///run/docker.sock"].below == "/other/c.sock"
    assert found["dockerfs:///var/lib/docker"].below == "/other/c.sock"


def test_something_else_behind_a_socket_is_another_node(tree: Tree) -> None:
    tree.listener(11, "/run/docker.sock")
    tree.process(700, "ssh", exe="/usr/bin/ssh", sockets=[11])
    (docker,) = _sockets(_discover(tree)).values()
    assert docker.is_remote
    assert docker.skip is EndpointState.INACTIVE
    assert "ssh 700" in docker.skip_detail
    (named,) = _sockets(_discover(tree, hosts=("docker:///run/docker.sock",))).values()
    assert (named.is_remote, named.is_named, named.skip) == (True, True, None)


def test_a_process_that_is_only_called_dockerd_is_not_dialled(tree: Tree) -> None:
    tree.process(100, "dockerd", cmdline=["dockerd"], exe="/usr/bin/python3.11", sockets=[11])
    tree.listener(11, "/run/docker.sock")
    (docker,) = _sockets(_discover(tree)).values()
    assert docker.is_remote
    assert docker.skip is not None


def test_a_socket_linked_to_the_hosts_is_no_second_engine(tree: Tree) -> None:
    tree.dockerd(100, sockets=[11])
    tree.listener(11, "/run/docker.sock")
    tree.directory("/run/user/1500/podman")
    (tree.root / "run/user/1500/podman/podman.sock").symlink_to("/run/docker.sock")
    (tree.root / "run/user/1500/docker.sock").symlink_to("/run/docker.sock")
    assert set(_sockets(_discover(tree))) == {"docker:///run/docker.sock"}


def test_a_holder_that_cannot_be_read_is_believed_only_with_a_daemon_that_names_it(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.listener(11, "/run/docker.sock")
    tree.listener(21, CONTAINERD)
    tree.dockerd(100)
    monkeypatch.setattr("rtscope.procfs.sockets._sockets_of", lambda _proc, _pid: None)
    sockets = _sockets(_discover(tree))
    docker = sockets["docker:///run/docker.sock"]
    assert docker.daemon is not None
    assert docker.skip is None
    containerd = sockets[f"containerd://{CONTAINERD}"]
    assert containerd.skip is EndpointState.DENIED
    assert "holder unknown" in containerd.skip_detail


def test_a_nested_engine_is_listed_and_asked_only_on_demand(tree: Tree) -> None:
    tree.shim(300, A)
    tree.process(301, "sh", ppid=300, cgroup=IN_A, namespaces=OWN)
    root = tree.container_root(301)
    (root / "run/containerd/io.containerd.runtime.v2.task").mkdir(parents=True)
    (root / "run/containerd/containerd.sock").write_text("")
    (root / "run/containerd/runc/default").mkdir(parents=True)
    inner = {**OWN, "net": 9}
    tree.containerd(310, ppid=301, cgroup=IN_A, namespaces=inner, sockets=[77])
    (tree.container_root(310) / "etc").mkdir()
    (tree.proc / "310" / "net").mkdir()
    (tree.proc / "310" / "net" / "unix").write_text(
        f"0: 00000002 00000000 00010000 0001 01 77 {CONTAINERD}\n"
    )
    found = _by_source(_discover(tree))
    address = f"/proc/301/root{CONTAINERD}"
    nested = found[f"containerd://{address}"]
    assert (nested.nested_in, nested.skip) == (301, EndpointState.INACTIVE)
    assert "--nested" in nested.skip_detail
    assert nested.origin == "/proc/301/root/run/containerd"
    root_endpoint = found["oci:///proc/301/root/run/containerd/runc/default"]
    assert (root_endpoint.nested_in, root_endpoint.namespace) == (301, "default")
    dialled = _by_source(_discover(tree, is_nested=True))[f"containerd://{address}"]
    assert (dialled.nested_in, dialled.skip) == (301, None)


@pytest.mark.skipif(not is_root(), reason="gives files to another user")
def test_a_users_engine_carries_the_user(tree: Tree) -> None:
    tree.dockerd(100, "-H", "unix:///run/user/12345/docker.sock", sockets=[11])
    os.chown(tree.proc / "100", 12345, 12345)
    tree.listener(11, "/run/user/12345/docker.sock")
    (docker,) = _sockets(_discover(tree)).values()
    assert docker.owner_uid == 12345
    assert docker.origin == "/home/12345/.local/share/docker"


def test_crio_cri_dockerd_and_kubelet(tree: Tree) -> None:
    tree.process(110, "crio", cmdline=["/usr/bin/crio"], exe="/usr/bin/crio", sockets=[31])
    tree.listener(31, "/var/run/crio/crio.sock", makes_file=False)
    tree.file("/run/crio/crio.sock")
    binary = "/usr/bin/cri-dockerd"
    tree.process(120, "cri-dockerd", cmdline=[binary], exe=binary, sockets=[32])
    tree.listener(32, "/run/cri-dockerd.sock")
    tree.dockerd(100, sockets=[11])
    tree.listener(11, "/run/docker.sock")
    args = ["/usr/bin/kubelet", "--container-runtime-endpoint=unix:///var/run/crio/crio.sock"]
    tree.process(130, "kubelet", cmdline=args, exe="/usr/bin/kubelet")
    tree.directory("/var/lib/kubelet")
    found = _by_source(_discover(tree))
    crio = found["cri:///run/crio/crio.sock"]
    assert (crio.origin, crio.namespace) == ("/var/lib/containers/storage", None)
    assert "kubelet 130 --container-runtime-endpoint" in crio.found_by
    assert found["cri:///run/cri-dockerd.sock"].origin == "/var/lib/docker"
    kubelet = found["kubelet:///var/lib/kubelet"]
    assert kubelet.daemon is not None
    assert kubelet.daemon.pid == 130


def test_containerd_without_the_cri_plugin_is_no_cri_endpoint(tree: Tree) -> None:
    tree.file("/etc/containerd/config.toml", 'disabled_plugins = ["cri"]\n')
    tree.containerd(200, sockets=[21])
    tree.listener(21, CONTAINERD)
    assert set(_sockets(_discover(tree))) == {f"containerd://{CONTAINERD}"}


def test_narrowing_keeps_the_layers_and_what_is_named(tree: Tree) -> None:
    tree.dockerd(100, sockets=[11])
    tree.listener(11, "/run/docker.sock")
    tree.containerd(200, sockets=[21])
    tree.listener(21, CONTAINERD)
    tree.directory("/var/lib/docker")
    tree.directory("/run/runc")
    kinds = {endpoint.kind for endpoint in _discover(tree, engines=("docker",))}
    assert kinds == {"docker", "dockerfs", "oci"}
    found = _discover(tree, engines=("docker",), hosts=(f"containerd://{CONTAINERD}",))
    assert "containerd" in {endpoint.kind for endpoint in found}


def test_a_named_socket_that_is_not_there_counts_as_absent(tree: Tree) -> None:
    (named,) = _discover(tree, hosts=("docker:///nowhere.sock",))
    assert (named.is_named, named.skip) == (True, EndpointState.ABSENT)


@pytest.mark.parametrize(("daemon", "kind"), [("dockerd", "docker"), ("containerd", "containerd")])
def test_a_named_unix_socket_is_told_by_its_holder(tree: Tree, daemon: str, kind: str) -> None:
    getattr(tree, daemon)(100, sockets=[11])
    tree.listener(11, "/srv/x.sock")
    found = _sockets(_discover(tree, hosts=("unix:///srv/x.sock",)))
    assert found[f"{kind}:///srv/x.sock"].is_named


def test_a_named_kind_that_the_holder_contradicts_is_the_holders(tree: Tree) -> None:
    binary = "/usr/bin/podman"
    args = [binary, "system", "service", "unix:///p.sock"]
    tree.process(100, "podman", cmdline=args, exe=binary, sockets=[11])
    tree.listener(11, "/p.sock")
    found = _sockets(_discover(tree, environ={"DOCKER_HOST": "unix:///p.sock"}))
    assert set(found) == {"podman:///p.sock"}


def test_other_nodes_are_marked_and_unreachable_names_said(tree: Tree) -> None:
    found = _by_source(
        _discover(tree, hosts=("tcp://h:2376",), environ={"CONTAINER_HOST": "ssh://u@h"})
    )
    assert found["docker+tcp://h:2376"].is_remote
    assert found["docker+tcp://h:2376"].skip is None
    ssh = found["podman+ssh://u@h"]
    assert (ssh.is_remote, ssh.skip) == (True, EndpointState.ABSENT)
    assert "run rtscope there" in ssh.skip_detail


def test_a_host_that_is_no_address_is_a_usage_error(tree: Tree) -> None:
    with pytest.raises(UsageError, match="not understood"):
        _discover(tree, hosts=("nonsense",))


class _Finding:
    name = "other"

    @classmethod
    def discover(cls, kernel: Observation, host: Host, settings: Settings) -> list[Endpoint]:
        return [Endpoint(kind="other", address="/x", found_by=("plug-in",))]


class _Failing(_Finding):
    @classmethod
    def discover(cls, kernel: Observation, host: Host, settings: Settings) -> list[Endpoint]:
        raise ZeroDivisionError("oops")


def test_plugins_take_part_and_their_failure_ends_nothing(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"other": _Finding, "bad": _Failing, "plain": object}
    assert isinstance(_Finding, Discovering)
    monkeypatch.setattr(module, "plugins", lambda: dict.fromkeys(found, "x:Y"))
    monkeypatch.setattr(module, "backend_of", found.__getitem__)
    endpoints = {endpoint.kind: endpoint for endpoint in _discover(tree)}
    assert endpoints["other"].address == "/x"
    assert endpoints["bad"].skip is EndpointState.MALFORMED
    assert "oops" in endpoints["bad"].skip_detail
    assert "plain" not in endpoints


def test_discovery_connects_to_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("s") / "d.sock")
    host = Host()
    kernel = observe_kernel(host, read_node(host))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        sock.settimeout(0)
        found = discover(kernel, host, Settings(hosts=(f"docker://{path}",)))
        with pytest.raises(BlockingIOError):
            sock.accept()
    (named,) = [endpoint for endpoint in found if endpoint.is_named]
    assert named.address == path


def test_a_rootless_containerd_is_not_taken_for_the_hosts(tree: Tree) -> None:
    tree.containerd(200, sockets=[21])
    tree.listener(21, CONTAINERD)
    cgroup = "0::/user.slice/user-7.slice/user@7.service/app.slice/x.service\n"
    tree.containerd(210, cgroup=cgroup, namespaces={"mnt": 7002, "net": 9}, sockets=[22])
    inside = tree.container_root(210)
    (inside / "run" / "containerd").mkdir(parents=True)
    (inside / "run" / "containerd" / "containerd.sock").write_text("")
    (tree.proc / "210" / "net").mkdir()
    (tree.proc / "210" / "net" / "unix").write_text(
        f"0: 00000002 00000000 00010000 0001 01 22 {CONTAINERD}\n"
    )
    sockets = _sockets(_discover(tree))
    own = sockets[f"containerd:///proc/210/root{CONTAINERD}"]
    assert own.origin == "/proc/210/root/run/containerd"
    assert own.daemon is not None
    assert own.daemon.pid == 210
    hosts = sockets[f"containerd://{CONTAINERD}"]
    assert hosts.daemon is not None
    assert (hosts.daemon.pid, hosts.origin) == (200, "/run/containerd")
