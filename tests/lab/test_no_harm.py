"""What rtscope promises a sick node: it wakes nothing, piles up nothing, blocks on nothing."""

import contextlib
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from tests.lab import asking, conftest, faults
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

VERBS = (asking.EVERYTHING, ("tree",), ("sources",))
# The verb's own limit is 2.5 s; the rest is the start of Python on a loaded machine.
ENDS_WITHIN_S = 12.0


@pytest.fixture(scope="module")
def calm() -> Iterator[Node]:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker", "cri", "podman", "runc")) as node:
        yield node


def queue_of(path: str) -> int:
    """Connections that wait in a listener's queue, by ss: Recv-Q of a listener."""
    lines = subprocess.run(
        ["ss", "-Hxln", "src", path], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(lines) == 1, lines
    return int(lines[0].split()[2])


def run_and_wait(*arguments: str) -> None:
    """The verb answers, and its process is gone."""
    start = time.monotonic()
    process = subprocess.Popen(
        [asking.RTSCOPE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, stderr = process.communicate(timeout=ENDS_WITHIN_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, stderr
    assert time.monotonic() - start < ENDS_WITHIN_S
    assert not os.path.exists(f"/proc/{process.pid}")


def listens_to_nobody(node: Node, rounds: int) -> None:
    sockets = [node.layout.sockets[name] for name in ("docker", "containerd")]
    pids = [node.daemons.pids[name] for name in ("docker", "containerd")]
    with faults.stopped(node, *pids):
        before = [queue_of(path) for path in sockets]
        for _ in range(rounds):
            asking.run(*asking.EVERYTHING)
        after = [queue_of(path) for path in sockets]
    for name in ("containerd", "docker"):
        node.wait_ready(name)
    assert all(late - early <= 2 for early, late in zip(before, after, strict=True)), after


def test_stopped_daemons_gain_no_connections(calm: Node) -> None:
    listens_to_nobody(calm, 15)


@pytest.mark.long
def test_stopped_daemons_gain_no_connections_in_a_hundred_runs(calm: Node) -> None:
    listens_to_nobody(calm, 100)


def watch_beside_stopped_daemons(node: Node, seconds: float) -> None:
    sockets = [node.layout.sockets[name] for name in ("docker", "containerd")]
    pids = [node.daemons.pids[name] for name in ("docker", "containerd")]
    with faults.stopped(node, *pids):
        before = [queue_of(path) for path in sockets]
        watch = subprocess.Popen(
            [asking.RTSCOPE, "ps", "-a", "-w", "--interval", "1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            worst = [0, 0]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(1.0)
                assert watch.poll() is None
                now = [queue_of(path) for path in sockets]
                worst = [max(w, n - b) for w, n, b in zip(worst, now, before, strict=True)]
        finally:
            watch.terminate()
            watch.wait(timeout=10)
    for name in ("containerd", "docker"):
        node.wait_ready(name)
    assert max(worst) <= 2


def test_watching_stopped_daemons_gains_no_connections(calm: Node) -> None:
    watch_beside_stopped_daemons(calm, 20.0)


@pytest.mark.long
@pytest.mark.timeout(500)
def test_watching_stopped_daemons_for_five_minutes(calm: Node) -> None:
    watch_beside_stopped_daemons(calm, 300.0)


_PARENT = textwrap.dedent(
    """
    import os, socket, subprocess, sys
    os.makedirs("/run/podman", exist_ok=True)
    listeners = []
    for path in ("/run/docker.sock", "/run/podman/podman.sock"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(8)
        listener.setblocking(False)
        listeners.append(listener)
    done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    dialled = 0
    for listener in listeners:
        try:
            listener.accept()
            dialled += 1
        except BlockingIOError:
            pass
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.exit(90 if dialled else done.returncode)
    """
)


def beside_a_parent_that_listens(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs rtscope where pid 1 alone holds two listeners and accepts nothing: as systemd does."""
    inside = 'mount -t tmpfs tmpfs /run && exec "$@"'
    return subprocess.run(
        ["unshare", "-m", "-p", "-n", "--fork", "--kill-child", "--mount-proc",
         "sh", "-c", inside, "sh", sys.executable, "-c", _PARENT, asking.RTSCOPE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip


def test_a_listener_of_pid_1_alone_is_not_connected_to() -> None:
    conftest.require_lab("host")
    done = beside_a_parent_that_listens("sources", "-o", "wide")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"/run/docker\.sock.*inactive|inactive.*/run/docker\.sock", done.stdout)


def test_a_listener_of_pid_1_is_connected_to_when_asked_for() -> None:
    conftest.require_lab("host")
    done = beside_a_parent_that_listens("sources", "--activate", "--timeout", "1s")
    assert done.returncode == 90, done.stdout + done.stderr


def test_a_blocked_file_system_under_a_root_stops_no_verb(calm: Node) -> None:
    point = calm.layout.path("docker/exec/runtime-fuse")
    with faults.blocked_mount(calm, point):
        for verb in VERBS:
            run_and_wait(*verb)


def test_a_process_in_state_d_stops_no_verb(calm: Node) -> None:
    beside = calm.entry("d-run")["pid"]
    with faults.uninterruptible(calm, beside):
        for verb in VERBS:
            run_and_wait(*verb)
        rows = {row["name"]: row for row in asking.rows(calm)}
    assert rows["d-run"]["state"] == "running"


def _tree_of(folder: str) -> dict[str, tuple[int, int]]:
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                found[path] = (status.st_size, status.st_mtime_ns)
    return found


def test_reading_changes_nothing_in_the_state_directories() -> None:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker")) as node:
        folders = [node.layout.path(p) for p in ("ctrd/run", "docker/exec", "docker/data")]
        # With the daemons stopped nobody but a container's shim could write: what changes is ours.
        pids = [node.daemons.pids[name] for name in ("docker", "containerd")]
        with faults.stopped(node, *pids):
            before = [_names_in(folder) for folder in folders]
            for verb in VERBS:
                run_and_wait(*verb)
            after = [_names_in(folder) for folder in folders]
        assert after == before


def _names_in(folder: str) -> set[str]:
    """Every path below, without the logs that running containers write."""
    return {path for path in _tree_of(folder) if not path.endswith((".log", "/log.json"))}


def test_reading_makes_no_event_and_no_task() -> None:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker"), seed=False) as node:
        since = time.time()
        tasks = node.clients.ctr("tasks", "list", namespace="moby")
        for verb in VERBS:
            run_and_wait(*verb)
        events = subprocess.run(
            [node.find("docker"), "-H", f"unix://{node.layout.sockets['docker']}", "events",
             "--since", f"{since:.3f}", "--until", f"{time.time():.3f}"],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        assert events.stdout == ""
        assert node.clients.ctr("tasks", "list", namespace="moby") == tasks


def test_observe_writes_only_the_file_it_was_asked_for(
    calm: Node, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("observe")
    path = os.path.join(folder, "node.json")
    done = asking.run("observe", path)
    assert done.returncode == 0, done.stderr
    assert os.listdir(folder) == ["node.json"]
    assert os.stat(path).st_mode & 0o777 == 0o600
    seen = {row["name"] for row in asking.rows(calm)}
    saved = asking.run("ps", "-a", "--all-runtimes", "--from", path, "-o", "json")
    assert saved.returncode == 0
    for name in ("d-run", "p-run", "t-run"):
        assert name in seen
        assert f'"{name}"' in saved.stdout
    with open(path, encoding="utf-8") as file:
        assert "hunter2" not in file.read()
