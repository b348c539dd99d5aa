"""Facts about processes and cgroups that labs stand on, read from /proc directly."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_CGROUP_MOUNT = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/PID/stat. Source: proc_pid_stat(5)."""

    pid: int
    comm: str
    state: str
    parent: int
    start_ticks: int


def stat_of(pid: int) -> Stat | None:
    """None when the process is gone."""
    return _read_stat(pid, f"/proc/{pid}/stat")


def stat_of_thread(pid: int, tid: int) -> Stat | None:
    return _read_stat(tid, f"/proc/{pid}/task/{tid}/stat")


def _read_stat(pid: int, path: str) -> Stat | None:
    try:
        with open(path, "rb") as file:
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Stat(pid, head.partition("(")[2], fields[0], int(fields[1]), int(fields[19]))


def everything() -> dict[int, Stat]:
    found = (stat_of(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {stat.pid: stat for stat in found if stat is not None}


def is_alive(pid: int, start_ticks: int | None = None) -> bool:
    """Whether that very process is there and no zombie."""
    stat = stat_of(pid)
    if stat is None or stat.state in "ZX":
        return False
    return start_ticks is None or stat.start_ticks == start_ticks


def command_of(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def cgroups_of(pid: int) -> dict[str, str]:
    """Controllers (v2: the empty string) -> the path of the process's cgroup."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}


def send(pid: int, start_ticks: int, number: int) -> bool:
    """Signal that very process; False when it is gone. Source: pidfd_open(2)."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        stat = stat_of(pid)
        if stat is None or stat.start_ticks != start_ticks:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def wait_until(condition: Callable[[], object], seconds: float, interval: float = 0.05) -> bool:
    """Poll until the condition holds; False after that many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(interval)
    return True


def hierarchies() -> dict[str, str]:
    """Every mounted cgroup hierarchy: controllers as in /proc/PID/cgroup -> mount point."""
    found: dict[str, str] = {}
    controllers = list(cgroups_of(os.getpid()))
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()
            point = left.split()[4]
            if not point.startswith(_CGROUP_MOUNT):
                continue
            if kind == "cgroup2":
                found[""] = point
            elif kind == "cgroup":
                present = set(options.split(","))
                for name in controllers:
                    if name and set(name.split(",")) <= present:
                        found[name] = point
    return found


def tracking() -> tuple[str, str]:
    """(Controllers, mount point) of the hierarchy that says which processes are a lab's."""
    mounts = hierarchies()
    name = "pids" if "pids" in mounts else ""
    return name, mounts[name]


def _members(folder: str) -> set[int]:
    pids: set[int] = set()
    for path, _, files in os.walk(folder):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError), open(os.path.join(path, "cgroup.procs")) as file:
                pids.update(int(line) for line in file.read().split())
    pids.discard(0)
    return pids


def members(cgroup: str) -> set[int]:
    """Processes in that cgroup or below it, in the hierarchy that tracks labs."""
    return _members(tracking()[1] + cgroup)


def with_descendants(seeds: Iterable[int]) -> dict[int, Stat]:
    """Those processes and all that descend from them; no zombies."""
    table = everything()
    known = {pid for pid in seeds if pid in table}
    grown = True
    while grown:
        more = {s.pid for s in table.values() if s.parent in known and s.pid not in known}
        known |= more
        grown = bool(more)
    return {pid: table[pid] for pid in known if table[pid].state not in "ZX"}


def create_cgroup(cgroup: str) -> None:
    """Make the lab's cgroup everywhere, and `daemons` below it where labs are tracked."""
    for point in hierarchies().values():
        os.makedirs(point + cgroup, exist_ok=True)
    os.makedirs(f"{tracking()[1]}{cgroup}/daemons", exist_ok=True)
    cpuset = hierarchies().get("cpuset")
    if cpuset is not None:
        for name in ("cpuset.cpus", "cpuset.mems"):
            with open(f"{cpuset}/{name}") as source, open(f"{cpuset}{cgroup}/{name}", "w") as copy:
                copy.write(source.read())


def thaw(cgroup: str) -> None:
    """Unfreeze everything below: SIGKILL does not end a frozen v1 task until it is thawed."""
    for name, point in hierarchies().items():
        if name not in ("", "freezer"):
            continue
        file, word = ("cgroup.freeze", "0") if name == "" else ("freezer.state", "THAWED")
        for path, _, files in os.walk(point + cgroup):
            if file in files:
                with contextlib.suppress(OSError), open(os.path.join(path, file), "w") as switch:
                    switch.write(word)


def remove_cgroup(cgroup: str) -> bool:
    """Remove the lab's cgroups; False while something still sits in them."""
    for point in hierarchies().values():
        for path, _, _ in os.walk(point + cgroup, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
    return not any(os.path.isdir(point + cgroup) for point in hierarchies().values())


def in_cgroup(cgroup: str, command: Iterable[str]) -> list[str]:
    """The command, run as a member of the lab's `daemons` cgroup."""
    procs = f"{tracking()[1]}{cgroup}/daemons/cgroup.procs"
    return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', procs, *command]
