"""What labs can leave on a machine: looked at before and after."""

import glob
import os
import re
from dataclasses import dataclass

from tests.lab import processes, teardown
from tests.lab.layout import Layout

_SHARED_FOLDERS = (
    "/run/containerd/runc/*/*",
    "/run/containers/storage/*",
    "/run/crun/*",
    "/run/libpod/*",
    "/run/netns/*",
    "/run/runc/*",
    "/var/lib/cni/networks/*",
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything of one lab, and what is shared by all labs of the machine."""

    own: frozenset[str]
    shared: frozenset[str]


def _own(name: str) -> frozenset[str]:
    layout = Layout(name)
    found = {f"process {pid} {stat.comm}" for pid, stat in _processes(layout).items()}
    found |= {f"mount {point}" for point in teardown.mounts_below(layout.dir)}
    for point in processes.hierarchies().values():
        found |= {f"cgroup {path}" for path in glob.glob(f"{point}{layout.cgroup}*")}
        found |= {f"cgroup {path}" for path in glob.glob(f"{point}/**/*{name}*", recursive=True)}
    if os.path.exists(layout.dir):
        found.add(f"folder {layout.dir}")
    return frozenset(found)


def _processes(layout: Layout) -> dict[int, processes.Stat]:
    """The lab's by cgroup and parentage, and whatever names its folder."""
    found = teardown.lab_processes(layout)
    word = re.compile(re.escape(layout.dir) + r"(/|$|\s)")
    for pid, stat in processes.everything().items():
        if stat.state not in "ZX" and any(word.search(w) for w in processes.command_of(pid)):
            found[pid] = stat
    found.pop(os.getpid(), None)
    return found


def _shared(name: str) -> frozenset[str]:
    """Shim sockets without a listener, and what engines keep in folders common to all."""
    held = set(teardown.listeners().values())
    found = {f"socket {p}" for p in glob.glob(f"{teardown.SHIM_SOCKETS}/*") if p not in held}
    for pattern in _SHARED_FOLDERS:
        found |= {f"entry {path}" for path in glob.glob(pattern)}
    links = os.listdir("/sys/class/net")
    found |= {f"interface {n}" for n in links if re.match(r"cni|docker|br-|podman", n)}
    with open("/proc/net/unix") as file:
        found |= {f"abstract {w}" for line in file if (w := line.split()[-1]).endswith(name)}
    return frozenset(found)


def snapshot(name: str) -> Snapshot:
    """What there is of that lab and of the shared places."""
    return Snapshot(_own(name), _shared(name))


def difference(before: Snapshot, name: str, seconds: float = 20.0) -> list[str]:
    """What is there now and was not before; what goes away by itself in time does not count."""
    left: list[str] = []

    def is_clean() -> bool:
        now = snapshot(name)
        left[:] = sorted((now.own | now.shared) - (before.own | before.shared))
        return not left

    processes.wait_until(is_clean, seconds, 0.5)
    return left
