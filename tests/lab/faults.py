"""Breaks things inside a lab on purpose, and never outside it.

Every function takes the node and refuses a process or a file that is not the lab's. The context
managers put things back whatever happens in between.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.lab import processes, teardown
from tests.lab.layout import LabError
from tests.lab.node import Node

_SETTLE_S = 20.0


def _identified(node: Node, pid: int) -> processes.Stat:
    """The process, after making sure that it is the lab's."""
    stat = teardown.lab_processes(node.layout).get(pid)
    if stat is None:
        raise LabError(f"pid {pid} is no process of lab {node.name}")
    return stat


def _wait_for_states(pid: int, states: str) -> None:
    """Until every thread is in one of those states. Source: proc_pid_stat(5), field 3."""

    def settled() -> bool:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return True
        found = [processes.stat_of_thread(pid, int(tid)) for tid in threads]
        return all(stat is None or stat.state in states for stat in found)

    if not processes.wait_until(settled, _SETTLE_S):
        raise LabError(f"pid {pid} does not reach state {states}")


def stop(node: Node, pid: int) -> processes.Stat:
    """SIGSTOP, and wait until every thread is stopped."""
    stat = _identified(node, pid)
    processes.send(pid, stat.start_ticks, signal.SIGSTOP)
    _wait_for_states(pid, "tTZX")
    return stat


def resume(node: Node, pid: int) -> None:
    """SIGCONT."""
    stat = _identified(node, pid)
    processes.send(pid, stat.start_ticks, signal.SIGCONT)


@contextlib.contextmanager
def stopped(node: Node, *pids: int) -> Iterator[None]:
    """Those processes stand still inside the block and go on after it."""
    halted: list[processes.Stat] = []
    try:
        for pid in pids:
            halted.append(_identified(node, pid))
            stop(node, pid)
        yield
    finally:
        for stat in halted:
            processes.send(stat.pid, stat.start_ticks, signal.SIGCONT)


@contextlib.contextmanager
def stopped_daemon(node: Node, name: str) -> Iterator[int]:
    """A daemon that accepts connections and answers nothing; serves again after the block."""
    pid = node.daemons.pids[name]
    with stopped(node, pid):
        yield pid
    node.wait_ready(name)


def kill(node: Node, pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process and, for SIGKILL, wait until it is gone. Children of a shim live on."""
    stat = _identified(node, pid)
    teardown.note_sockets(node.layout, pid)
    processes.send(pid, stat.start_ticks, number)
    if number == signal.SIGKILL and not processes.wait_until(
        lambda: not processes.is_alive(pid, stat.start_ticks), _SETTLE_S
    ):
        raise LabError(f"pid {pid} survives SIGKILL: frozen, or in state D")


@contextlib.contextmanager
def removed(node: Node, path: str) -> Iterator[None]:
    """A file or folder of the lab is not there inside the block."""
    _check_is_of_lab(node, path)
    aside = os.path.join(tempfile.mkdtemp(dir=node.layout.path("tmp")), "aside")
    shutil.move(path, aside)
    try:
        yield
    finally:
        if os.path.isdir(aside) and os.path.isdir(path):
            shutil.rmtree(path)
        shutil.move(aside, path)


@contextlib.contextmanager
def replaced(node: Node, path: str, data: bytes) -> Iterator[None]:
    """A file of the lab has other contents inside the block."""
    with removed(node, path):
        with open(path, "wb") as file:
            file.write(data)
        yield


def _check_is_of_lab(node: Node, path: str) -> None:
    inside = os.path.realpath(os.path.dirname(path))
    own = inside.startswith(os.path.realpath(node.layout.dir) + "/")
    old_shim = inside.startswith("/run/containerd/runc") and path.endswith(f"-{node.name}")
    if not own and not old_shim:
        raise LabError(f"{path} is not in the lab's folder")


@contextlib.contextmanager
def frozen(node: Node, pid: int) -> Iterator[None]:
    """The process's cgroup is frozen behind its engine's back; thawed after the block."""
    _identified(node, pid)
    switch, freeze, thaw = _freezer_of(pid)
    _write_switch(switch, freeze)
    try:
        yield
    finally:
        _write_switch(switch, thaw)


def _freezer_of(pid: int) -> tuple[str, str, str]:
    """File, word that freezes, word that thaws. Source: cgroup-v1/freezer-subsystem.rst."""
    mounts, cgroups = processes.hierarchies(), processes.cgroups_of(pid)
    name = "freezer" if "freezer" in mounts else ""
    if cgroups[name] == "/":
        raise LabError(f"pid {pid} has no cgroup of its own")
    folder = mounts[name] + cgroups[name]
    if name:
        return f"{folder}/freezer.state", "FROZEN", "THAWED"
    return f"{folder}/cgroup.freeze", "1", "0"


def _write_switch(path: str, word: str) -> None:
    with open(path, "w") as file:
        file.write(word)

    def is_done() -> bool:
        if path.endswith("cgroup.freeze"):
            with open(path.replace("cgroup.freeze", "cgroup.events")) as events:
                return f"frozen {word}" in events.read()
        with open(path) as state:
            return state.read().strip() == word

    if not processes.wait_until(is_done, _SETTLE_S):
        raise LabError(f"{path} does not become {word}")


# ---------------------------------------------------------------- a file system that blocks
class BlockedMount:
    """A FUSE mount whose server stands still: statvfs, stat and reads on it never return."""

    def __init__(self, point: str, server: processes.Stat) -> None:
        self.point = point
        self._server = server

    def block(self) -> None:
        processes.send(self._server.pid, self._server.start_ticks, signal.SIGSTOP)
        _wait_for_states(self._server.pid, "tTZX")

    def release(self) -> None:
        processes.send(self._server.pid, self._server.start_ticks, signal.SIGCONT)


@contextlib.contextmanager
def blocked_mount(node: Node, point: str) -> Iterator[BlockedMount]:
    """Mount it, stop the server; released, unmounted and ended after the block.

    `point` may be an existing folder of the lab or a new one.
    """
    if not os.path.realpath(point).startswith(os.path.realpath(node.layout.dir) + "/"):
        raise LabError(f"{point} is not in the lab's folder")
    os.makedirs(point, exist_ok=True)
    command = [sys.executable, "-m", "tests.lab.fuse", point]
    with open(node.layout.path("log/fuse.log"), "ab") as log:
        server = subprocess.Popen(
            processes.in_cgroup(node.layout.cgroup, command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        )
    stat = processes.stat_of(server.pid)
    assert stat is not None
    mount = BlockedMount(point, stat)
    try:
        if not processes.wait_until(lambda: _serves(point, server), _SETTLE_S):
            raise LabError(f"no FUSE mount appears at {point}: see log/fuse.log")
        mount.block()
        yield mount
    finally:
        mount.release()
        subprocess.run(["umount", "-l", point], capture_output=True, check=False)
        processes.send(stat.pid, stat.start_ticks, signal.SIGTERM)
        try:
            server.wait(timeout=_SETTLE_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _serves(point: str, server: subprocess.Popen[bytes]) -> bool:
    if server.poll() is not None:
        raise LabError("the FUSE server ended: see log/fuse.log")
    with open("/proc/self/mountinfo") as file:
        if not any(line.split()[4] == point for line in file):
            return False
    return os.path.exists(os.path.join(point, "file"))


# ---------------------------------------------------------------- state D
_UNINTERRUPTIBLE = """
import os, sys
fifo, *cgroups = sys.argv[1:]
for path in cgroups:
    with open(path, "w") as file:
        file.write("0")
action = (os.POSIX_SPAWN_OPEN, 3, fifo, os.O_RDONLY, 0)
os.waitpid(os.posix_spawn("/bin/true", ["true"], {}, file_actions=[action]), 0)
"""


@contextlib.contextmanager
def uninterruptible(node: Node, beside: int | None = None) -> Iterator[int]:
    """The pid of a process in state D; in the cgroups of the process `beside`, if given.

    posix_spawn's child shares the memory of its parent, which the kernel keeps in state D until
    the child executes something; here the child waits for a writer of a FIFO before it does.
    Source: clone(2), CLONE_VFORK; observed, glibc 2.36.
    """
    fifo = node.layout.path("tmp/fifo")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fifo)
    os.mkfifo(fifo)
    command = [sys.executable, "-I", "-S", "-c", _UNINTERRUPTIBLE, fifo, *_procs_of(node, beside)]
    sleeper = subprocess.Popen(
        processes.in_cgroup(node.layout.cgroup, command), stdin=subprocess.DEVNULL
    )
    try:
        if not processes.wait_until(lambda: _waits_for_its_child(sleeper.pid), _SETTLE_S):
            raise LabError("the process does not reach state D")
        yield sleeper.pid
    finally:
        _open_for_writing(fifo)
        try:
            sleeper.wait(timeout=_SETTLE_S)
        except subprocess.TimeoutExpired:
            sleeper.kill()
            sleeper.wait()


def _waits_for_its_child(pid: int) -> bool:
    """State D with a child: entering a cgroup is a moment of D as well."""
    return _state_of(pid) == "D" and any(
        stat.parent == pid for stat in processes.everything().values()
    )


def _procs_of(node: Node, beside: int | None) -> list[str]:
    if beside is None:
        return []
    _identified(node, beside)
    mounts = processes.hierarchies()
    return [
        f"{mounts[name]}{path}/cgroup.procs"
        for name, path in processes.cgroups_of(beside).items()
        if name in mounts and path != "/"
    ]


def _state_of(pid: int) -> str:
    stat = processes.stat_of(pid)
    return stat.state if stat else ""


def _open_for_writing(fifo: str) -> None:
    """Let the reader go on; ENXIO while it has not opened its end yet. Source: fifo(7)."""

    def opened() -> bool:
        try:
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    processes.wait_until(opened, 2.0)
