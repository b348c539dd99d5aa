"""Takes a lab down completely: from its folder and its cgroup, whatever state it is in."""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterable
from stat import S_ISREG

from tests.lab import processes
from tests.lab.layout import ROOT, Layout, is_name

SHIM_SOCKETS = "/run/containerd/s"
_DAEMON_S = 10.0
_KILL_S = 30.0
_SOCKET = re.compile(rb"/run/containerd/s/[0-9a-f]{64}")
# Where runtimes keep states that no flag sends elsewhere: ctr's --runc-root, for one, reaches the
# runc.v2 shim only.
_DEFAULT_OCI_ROOTS = ("/run/containerd/runc/*", "/run/runc", "/run/crun", "/run/youki")
_STATE_BYTES = 1 << 20


def lab_processes(layout: Layout) -> dict[int, processes.Stat]:
    """Members of the lab's cgroup, podman's monitors, and all that descend from them."""
    seeds = processes.members(layout.cgroup)
    pattern = layout.path("podman/run/overlay-containers/*/userdata/conmon.pid")
    for path in glob.glob(pattern):
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            pid = int(file.read())
            if any(layout.path("podman/") in word for word in processes.command_of(pid)):
                seeds.add(pid)
    return processes.with_descendants(seeds)


def shim_sockets(layout: Layout) -> set[str]:
    """Sockets of the lab's shims, which stand outside its folder.

    From the addresses in the bundles, from what was noted before a shim was killed, and from the
    listeners that the lab's processes hold.
    """
    found = set(_noted(layout))
    for folder in ("ctrd", "ctrd2"):
        for name in ("address", "bootstrap.json"):
            for path in glob.glob(layout.path(f"{folder}/run/*/*/*/{name}")):
                with contextlib.suppress(OSError), open(path, "rb") as file:
                    found.update(match.decode() for match in _SOCKET.findall(file.read()))
    inodes = listeners()
    for pid in lab_processes(layout):
        found |= {inodes[inode] for inode in _socket_inodes(pid) if inode in inodes}
    return found


def listeners() -> dict[str, str]:
    """Inode -> path of every shim socket that somebody holds. Source: /proc/net/unix."""
    found = {}
    with open("/proc/net/unix") as file:
        for line in file:
            fields = line.split()
            if len(fields) == 8 and fields[7].startswith(SHIM_SOCKETS):
                found[fields[6]] = fields[7]
    return found


def _socket_inodes(pid: int) -> Iterable[str]:
    for link in glob.glob(f"/proc/{pid}/fd/*"):
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.startswith("socket:["):
                yield target[8:-1]


def note_sockets(layout: Layout, pid: int) -> None:
    """Remember the sockets of a shim that is about to be killed: nobody removes them then."""
    inodes = listeners()
    mine = {inodes[inode] for inode in _socket_inodes(pid) if inode in inodes}
    with open(layout.path("sockets.txt"), "a") as file:
        file.writelines(f"{path}\n" for path in sorted(mine))


def _noted(layout: Layout) -> list[str]:
    try:
        with open(layout.path("sockets.txt")) as file:
            return [path for path in file.read().split() if path.startswith(SHIM_SOCKETS)]
    except OSError:
        return []


def stray_states(layout: Layout) -> list[str]:
    """Folders below the runtimes' default roots whose container has its bundle in the lab."""
    needle = f"{layout.dir}/".encode()
    found = set()
    for root in _DEFAULT_OCI_ROOTS:
        for path in glob.glob(f"{root}/*/*"):
            if needle in _content(path):
                found.add(os.path.dirname(path))
    return sorted(found)


def _content(path: str) -> bytes:
    """The start of a regular file; nothing of anything else: opening runc's FIFO would wait."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _STATE_BYTES) if S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(fd)


def _stop_daemons(layout: Layout) -> None:
    """End the daemons before their containers: dockerd would start some of them again."""
    try:
        with open(layout.path("daemons.json")) as file:
            known = [(d["pid"], d["start_ticks"]) for d in json.load(file).values()]
    except (OSError, ValueError):
        return
    for pid, start in known:
        processes.send(pid, start, signal.SIGKILL)
    processes.wait_until(
        lambda: not any(processes.is_alive(pid, start) for pid, start in known), _DAEMON_S
    )


def _kill_everything(layout: Layout) -> set[str]:
    """Kill until nothing is left; returns the cgroups that were seen."""
    seen: set[str] = set()
    mounts = processes.hierarchies()
    end = time.monotonic() + _KILL_S
    while found := lab_processes(layout):
        processes.thaw(layout.cgroup)
        for stat in found.values():
            for name, cgroup in processes.cgroups_of(stat.pid).items():
                if cgroup != "/" and name in mounts:
                    seen.add(mounts[name] + cgroup)
        for folder in seen:
            _thaw_folder(folder)
        for stat in found.values():
            processes.send(stat.pid, stat.start_ticks, signal.SIGKILL)
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return seen


def _thaw_folder(folder: str) -> None:
    """A test may have frozen a container that is outside the lab's cgroup."""
    for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with contextlib.suppress(OSError), open(path, "w") as switch:
                switch.write(word)


def mounts_below(folder: str) -> list[str]:
    """Mount points in that folder, the deepest first. Source: proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    return sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True)


def _unmount(layout: Layout) -> None:
    for point in mounts_below(layout.dir):
        # MNT_DETACH: a file system that a test made busy must not hold the teardown.
        _umount(point)


def _umount(point: str) -> None:
    pid = os.spawnvp(os.P_NOWAIT, "umount", ["umount", "-l", "-c", point])
    os.waitpid(pid, 0)


def _remove_cgroups(layout: Layout, seen: set[str]) -> None:
    processes.wait_until(lambda: processes.remove_cgroup(layout.cgroup), 10)
    for folder in sorted(seen, reverse=True):
        if re.search(r"/(libpod|conmon|default|lab2|k8s\.io|moby|docker)(_parent)?(/|-|$)", folder):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def take_down(name: str) -> list[str]:
    """Remove everything of that lab; returns what could not be removed."""
    layout = Layout(name)
    sockets = shim_sockets(layout)
    _stop_daemons(layout)
    sockets |= shim_sockets(layout)
    seen = _kill_everything(layout)
    _unmount(layout)
    _remove_cgroups(layout, seen)
    for path in sockets:
        with contextlib.suppress(OSError):
            os.unlink(path)
    for path in stray_states(layout):
        shutil.rmtree(path, ignore_errors=True)
    for _ in range(5):
        _unmount(layout)
        if not mounts_below(layout.dir):
            shutil.rmtree(layout.dir, ignore_errors=True)
        if not os.path.exists(layout.dir):
            break
        time.sleep(0.2)
    left = [f"process {pid} {stat.comm}" for pid, stat in lab_processes(layout).items()]
    left += [layout.dir] if os.path.exists(layout.dir) else []
    return left + mounts_below(layout.dir)


def names() -> list[str]:
    """Labs that are up or half-made on this machine."""
    found = {os.path.basename(os.path.dirname(path)) for path in glob.glob(f"{ROOT}/*/")}
    point = processes.tracking()[1]
    for path in glob.glob(f"{point}/rtlab-*"):
        found.add(os.path.basename(path).removeprefix("rtlab-"))
    return sorted(name for name in found if is_name(name))


def purge_abandoned() -> list[str]:
    """Take down labs whose owner, a test run, has died; nobody else's."""
    purged = []
    for name in names():
        try:
            with open(Layout(name).path("owner.json")) as file:
                owner = json.load(file)
        except (OSError, ValueError):
            continue
        if owner and not processes.is_alive(owner["pid"], owner["start_ticks"]):
            take_down(name)
            purged.append(name)
    return purged
