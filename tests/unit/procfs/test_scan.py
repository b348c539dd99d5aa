import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtscope.model.observation import Observation
from rtscope.model.records import Daemon, Process, Shim
from rtscope.model.refs import ProcessKey
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs import detail
from rtscope.procfs.host import Host
from rtscope.procfs.node import read_node
from rtscope.procfs.scan import observe_kernel, read_process
from tests.unit.procfs.tree import Tree, is_root, own_stat

A = "a" * 64
B = "b" * 64
IN_A = f"0::/docker/{A}\n"
OWN = {"pid": 7001, "mnt": 7002}


def _observe(tree: Tree) -> Observation:
    return observe_kernel(tree.host, read_node(tree.host))


def _process(observation: Observation, pid: int) -> Process:
    return next(p for p in observation.processes if p.key.pid == pid)


def _pids(observation: Observation) -> set[int]:
    return {process.key.pid for process in observation.processes}


def _shims(observation: Observation) -> dict[int, Shim]:
    return {shim.key.pid: shim for shim in observation.shims}


def _daemons(observation: Observation) -> dict[int, Daemon]:
    return {daemon.key.pid: daemon for daemon in observation.daemons}


def test_an_empty_node_is_ok_and_has_nothing(tree: Tree) -> None:
    observation = _observe(tree)
    assert (observation.source, observation.kind) == ("procfs:///proc", "procfs")
    assert observation.endpoint.state is EndpointState.OK
    assert observation.processes == observation.shims == observation.daemons == ()
    assert observation.taken_at >= observation.started_at


def test_a_container_below_its_shim_is_complete(tree: Tree) -> None:
    bundle = tree.shim(300, A)
    tree.process(
        301,
        "web",
        ppid=300,
        cmdline=["web", "--port", "80"],
        exe="/bin/web",
        cgroup=IN_A,
        ns_pids=[301, 1],
        namespaces=OWN,
    )
    tree.process(302, "worker", ppid=301, session=301, cmdline=["worker"], cgroup=IN_A)
    observation = _observe(tree)
    shim = _shims(observation)[300]
    assert (shim.kind, shim.namespace, shim.id) == ("runc-v2", "moby", A)
    assert (shim.bundle_dir, shim.children) == (bundle, (301,))
    assert (shim.is_verified, shim.nested_in, shim.uid) == (True, None, 0)
    init = _process(observation, 301)
    assert init.key == ProcessKey(pid=301, start=3010)
    assert (init.container_id, init.owner, init.shim) == (A, "docker", shim.key)
    assert (init.cmdline, init.exe) == (("web", "--port", "80"), "/bin/web")
    assert (init.ns_pids, init.pid_namespace, init.mount_namespace) == ((301, 1), 7001, 7002)
    worker = _process(observation, 302)
    assert (worker.ppid, worker.container_id, worker.shim) == (301, A, shim.key)
    assert _pids(observation) == {1, 300, 301, 302}


def test_a_pods_shim_has_every_container_as_child(tree: Tree) -> None:
    tree.shim(300, A, namespace="k8s.io")
    tree.process(301, "pause", ppid=300, cgroup=f"0::/k8s.io/{A}\n")
    tree.process(302, "web", ppid=300, cgroup=f"0::/k8s.io/{B}\n")
    observation = _observe(tree)
    assert set(_shims(observation)[300].children) == {301, 302}
    assert _process(observation, 302).container_id == B
    assert _process(observation, 302).owner == "cri"


def test_short_calls_and_exec_monitors_are_no_shims(tree: Tree) -> None:
    binary = "/usr/bin/containerd-shim-runc-v2"
    args = [binary, "-namespace", "moby", "-id", A, "-bundle", "/b", "delete"]
    tree.process(300, "containerd-shim", cmdline=args, exe=binary)
    conmon = ["/usr/bin/conmon", "-c", A, "-e", "-r", "/usr/bin/crun"]
    tree.process(310, "conmon", cmdline=conmon, exe="/usr/bin/conmon")
    assert _observe(tree).shims == ()


def test_a_bare_runtimes_container_is_found_by_its_pid_namespace(tree: Tree) -> None:
    tree.process(400, "sleep", cgroup="0::/somewhere/r1\n", ns_pids=[400, 1], namespaces=OWN)
    tree.process(401, "child", ppid=400, session=400)
    tree.process(410, "bash", cgroup="0::/somewhere\n")
    observation = _observe(tree)
    assert _pids(observation) == {1, 400, 401}
    assert _process(observation, 400).ns_pids == (400, 1)


def test_a_container_with_the_hosts_pids_is_found_by_its_mounts(tree: Tree) -> None:
    tree.process(400, "sleep", cgroup="0::/r1\n", namespaces={"mnt": 7002})
    tree.process(401, "resolved", cgroup="0::/system.slice/r.service\n", namespaces={"mnt": 7003})
    assert _pids(_observe(tree)) == {1, 400}


def test_a_container_whose_shim_died_is_found_by_its_cgroup(tree: Tree) -> None:
    tree.process(400, "web", cgroup=IN_A)
    tree.process(401, "stray", session=399, cgroup=IN_A)
    observation = _observe(tree)
    assert _process(observation, 400).container_id == A
    assert _process(observation, 401).container_id == A
    assert _process(observation, 400).shim is None


def test_ordinary_processes_and_kernel_threads_are_left_out(tree: Tree) -> None:
    tree.process(400, "cron", cgroup="0::/system.slice/cron.service\n")
    tree.process(401, "bash", ppid=400, session=401)
    tree.process(500, "kworker/0:1", ppid=2)
    assert _pids(_observe(tree)) == set()


def test_daemons_carry_options_state_and_wchan(tree: Tree) -> None:
    tree.dockerd(100, "--data-root", "/d", state="T", wchan="do_signal_stop")
    tree.containerd(200, "--state", "/s", ppid=100)
    observation = _observe(tree)
    dockerd = _daemons(observation)[100]
    assert (dockerd.kind, dockerd.options["root"]) == ("dockerd", "/d")
    assert (dockerd.process_state, dockerd.wchan) == ("T", "do_signal_stop")
    assert dockerd.is_verified
    assert _daemons(observation)[200].options["state"] == "/s"
    assert _pids(observation) == {1, 100, 200}
    assert _process(observation, 200).ppid == 100


def test_a_process_that_only_has_the_name_is_not_believed(tree: Tree) -> None:
    tree.process(100, "dockerd", cmdline=["dockerd", "-H", "unix:///x"], exe="/usr/bin/python3")
    binary = "containerd-shim-runc-v2"
    args = [binary, "-namespace", "moby", "-id", A, "-address", "/x"]
    tree.process(300, "containerd-shim", cmdline=args, exe="/home/u/evil")
    observation = _observe(tree)
    assert observation.daemons == ()
    assert observation.shims == ()


def test_an_unreadable_executable_is_believed_by_its_command_line_but_unverified(
    tree: Tree,
) -> None:
    tree.process(100, "dockerd", cmdline=["/usr/bin/dockerd"])
    tree.process(101, "dockerd", cmdline=["evil"])
    daemons = _daemons(_observe(tree))
    assert set(daemons) == {100}
    assert not daemons[100].is_verified


def test_what_runs_inside_a_container_is_nested(tree: Tree) -> None:
    tree.shim(300, A)
    tree.process(301, "sh", ppid=300, cgroup=IN_A, ns_pids=[301, 1], namespaces=OWN)
    root = tree.container_root(301)
    (root / "etc").mkdir()
    tree.dockerd(310, ppid=301, cgroup=f"{IN_A}", ns_pids=[310, 8], namespaces=OWN, session=301)
    dockers_root = tree.container_root(310)
    (dockers_root / "etc").mkdir()
    (dockers_root / "etc" / "docker").mkdir()
    (dockers_root / "etc" / "docker" / "daemon.json").write_text('{"data-root": "/inner"}')
    inner = f"0::/docker/{A}/docker/{B}\n"
    tree.shim(320, B, ppid=301, cgroup=IN_A, namespaces=OWN)
    tree.process(321, "web", ppid=320, cgroup=inner, ns_pids=[321, 20, 1], namespaces=OWN)
    tree.process(322, "worker", ppid=321, cgroup=inner, session=321)
    observation = _observe(tree)
    daemon = _daemons(observation)[310]
    assert daemon.nested_in == 301
    assert daemon.options["root"] == "/inner"
    shims = _shims(observation)
    assert shims[300].nested_in is None
    assert shims[320].nested_in == 301
    web = _process(observation, 321)
    assert (web.container_id, web.shim) == (B, shims[320].key)
    assert web.ns_pids == (321, 20, 1)
    assert _process(observation, 322).shim == shims[320].key
    assert _process(observation, 320).shim == shims[300].key
    assert _process(observation, 310).shim == shims[300].key
    assert len(observation.processes) == len(_pids(observation)) == 7


def test_nested_without_a_shim_is_told_by_cgroup_and_by_namespace(tree: Tree) -> None:
    tree.process(400, "sh", cgroup=IN_A, namespaces=OWN)
    tree.containerd(401, ppid=400, cgroup=IN_A, namespaces=OWN)
    tree.process(500, "sh", cgroup="0::/x\n", namespaces={"pid": 8001})
    tree.containerd(501, ppid=500, cgroup="0::/x\n", namespaces={"pid": 8001})
    daemons = _daemons(_observe(tree))
    assert daemons[401].nested_in == 400
    assert daemons[501].nested_in == 500


def test_a_rootless_users_daemon_is_its_own_not_nested(tree: Tree) -> None:
    own = {"pid": 9001, "mnt": 9002}
    cgroup = "0::/user.slice/user-7.slice/user@7.service/app.slice/docker.service\n"
    tree.process(600, "rootlesskit", cgroup=cgroup, exe="/usr/bin/rootlesskit")
    tree.process(601, "exe", ppid=600, cgroup=cgroup, namespaces=own)
    tree.dockerd(602, ppid=601, cgroup=cgroup, namespaces=own)
    assert _daemons(_observe(tree))[602].nested_in is None


def test_freezer_is_read_for_inits_only(tree: Tree) -> None:
    tree.shim(300, A)
    tree.process(301, "web", ppid=300, state="D", cgroup=f"6:freezer:/docker/{A}\n")
    tree.process(302, "w", ppid=301, state="D", cgroup=f"6:freezer:/docker/{A}\n")
    tree.file(f"/sys/fs/cgroup/freezer/docker/{A}/freezer.state", "FROZEN\n")
    observation = _observe(tree)
    assert _process(observation, 301).is_frozen is True
    assert _process(observation, 302).is_frozen is None


def test_of_a_process_in_the_kernel_only_harmless_files_are_read(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tree.shim(300, A, state="D", wchan="fuse_request")
    tree.process(301, "web", ppid=300, state="D", cmdline=["web"], exe="/w", cgroup=IN_A)
    tree.dockerd(100, state="D", wchan="rpc_wait")
    tree.process(330, "conmon", state="D", cmdline=["conmon"], exe="/usr/bin/conmon")
    touched: list[str] = []
    for name in ("slurp", "slurp_words", "link_of"):
        real = getattr(detail, name)

        def noting(path: str, *args: object, real: object = real) -> object:
            touched.append(path)
            return real(path, *args)  # type: ignore[operator]

        monkeypatch.setattr(detail, name, noting)
    observation = _observe(tree)
    kinds = {(path.split("/")[-2], path.split("/")[-1]) for path in touched}
    for pid in ("300", "301", "100", "330"):
        for name in ("cmdline", "environ", "exe", "maps", "root"):
            assert (pid, name) not in kinds
    shim = _shims(observation)[300]
    assert (shim.namespace, shim.id, shim.bundle_dir) == ("moby", A, bundle)
    assert (shim.process_state, shim.wchan, shim.is_verified) == ("D", "fuse_request", False)
    assert _daemons(observation)[100].args == ()
    assert _process(observation, 301).cmdline is None


def test_hostile_names_arrive_complete(tree: Tree) -> None:
    tree.shim(300, A)
    tree.process(301, "a) R 1 \udcff\n", ppid=300, cmdline=["\x1b[2J", "\udcfe", ""], cgroup=IN_A)
    process = _process(_observe(tree), 301)
    assert process.comm == "a) R 1 \udcff\n"
    assert process.cmdline == ("\x1b[2J", "\udcfe", "")


def test_stores_without_proc_are_denied_not_empty(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    host.proc = str(tmp_path / "none")
    observation = observe_kernel(host, read_node(host))
    assert observation.endpoint.state is EndpointState.DENIED
    assert any(gap.reason is Reason.DENIED for gap in observation.gaps)


def test_read_process_reads_any_process_in_full() -> None:
    process = read_process(Host(), os.getpid())
    assert process is not None
    assert process.key.start == int(own_stat(os.getpid())[19])
    assert process.uid == os.geteuid()
    assert process.cmdline
    assert process.ns_pids[0] == os.getpid()
    assert read_process(Host(), 2**22 + 1) is None


def test_the_live_machine_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    observation = observe_kernel(host, read_node(host))
    keys = [process.key for process in observation.processes]
    assert len(keys) == len(set(keys))
    assert all(shim.key in keys for shim in observation.shims)
    assert observation.node.clk_tck > 0


_STUCK = """
import ctypes, os, platform, signal, sys
libc = ctypes.CDLL(None)
libc.prctl(15, b"containerd-shim", 0, 0, 0)
number = 56 if platform.machine() == "x86_64" else 220
CLONE_VFORK = 0x4000
child = libc.syscall(number, CLONE_VFORK | signal.SIGCHLD, 0, 0, 0, 0)
if child == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
"""


@pytest.fixture
def stuck_pid() -> Iterator[int]:
    """A process in state D: the parent of a vfork whose child is stopped."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _STUCK])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        give_up_at = time.monotonic() + 60
        while own_stat(process.pid)[0] != "D" and time.monotonic() < give_up_at:
            if process.poll() is not None:
                pytest.skip("no vfork by system call here")
            time.sleep(0.01)
        yield process.pid
    finally:
        for word in children.read_text().split() if children.exists() else ():
            os.kill(int(word), signal.SIGKILL)
        process.kill()
        process.wait()


@pytest.mark.skipif(not is_root(), reason="wchan is root's to read")
def test_a_live_process_in_the_kernel_is_recognised_without_waiting(stuck_pid: int) -> None:
    host = Host()
    observation = observe_kernel(host, read_node(host))
    process = _process(observation, stuck_pid)
    assert (process.state, process.comm, process.cmdline) == ("D", "containerd-shim", None)
    shim = _shims(observation)[stuck_pid]
    assert (shim.process_state, shim.is_verified, shim.id) == ("D", False, None)


@pytest.mark.skipif(not is_root(), reason="gives files to another user")
def test_another_users_shim_carries_the_user(tree: Tree) -> None:
    tree.shim(300, A)
    os.chown(tree.proc / "300", 12345, 12345)
    assert _shims(_observe(tree))[300].uid == 12345


def test_a_daemon_with_mounts_of_its_own_is_reached_through_its_root(tree: Tree) -> None:
    cgroup = "0::/user.slice/user-7.slice/user@7.service/app.slice/x.service\n"
    own = {"mnt": 7002}
    tree.containerd(200, cgroup=cgroup, namespaces=own)
    tree.directory("/run/containerd")
    tree.directory("/var/lib/containerd")
    inside = tree.container_root(200)
    (inside / "run" / "containerd").mkdir(parents=True)
    (inside / "run" / "containerd" / "containerd.sock").write_text("")
    bundle = tree.shim(300, "web", namespace="default", cgroup=cgroup, namespaces=own)
    (tree.container_root(300) / bundle.lstrip("/")).mkdir(parents=True)
    observation = _observe(tree)
    options = _daemons(observation)[200].options
    assert options["state"] == "/proc/200/root/run/containerd"
    assert options["address"] == "/proc/200/root/run/containerd/containerd.sock"
    assert options["root"] == "/var/lib/containerd"
    assert _shims(observation)[300].bundle_dir == f"/proc/300/root{bundle}"


def test_a_daemon_with_a_private_tmp_shares_the_rest(tree: Tree) -> None:
    tree.containerd(200, cgroup="0::/system.slice/containerd.service\n", namespaces={"mnt": 7002})
    shared = tree.directory("/run/containerd")
    inside = tree.container_root(200)
    inside.rmdir()
    inside.symlink_to(tree.root)
    assert shared.exists()
    assert _daemons(_observe(tree))[200].options["state"] == "/run/containerd"
