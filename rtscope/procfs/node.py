"""The machine: its name, its clocks, its cgroup hierarchy."""

import os
import socket

from rtscope.model.observation import Node
from rtscope.procfs.cgroups import lines_of
from rtscope.procfs.host import Host

_MAX_STAT_BYTES = 4 << 20


def read_node(host: Host) -> Node:
    """What the node says of itself; what cannot be read is None."""
    return Node(
        hostname=_hostname(host),
        boot_id=_text(host, "/proc/sys/kernel/random/boot_id"),
        clk_tck=os.sysconf("SC_CLK_TCK"),
        btime=_btime(host),
        cgroup_mode=_cgroup_mode(host),
        euid=os.geteuid(),
    )


def notes_on_view(host: Host) -> tuple[str, ...]:
    """What of the node this process cannot see, because of the namespaces that it runs in."""
    notes = []
    own = host.proc == "/proc"
    if host.root != "/" and own:
        notes.append(
            f"nothing is mounted at {host.root}/proc: processes are those of this container"
        )
    if own and _is_other_namespace(host, "pid"):
        notes.append("not in the host's pid namespace: its processes cannot be seen")
    if _is_other_namespace(host, "cgroup"):
        notes.append("not in the host's cgroup namespace: cgroup paths are relative to this one")
    return tuple(notes)


def _is_other_namespace(host: Host, kind: str) -> bool:
    """Whether pid 1 is in another namespace of that kind; False where it cannot be told."""
    try:
        first = os.readlink(f"{host.proc}/1/ns/{kind}")
        return first != os.readlink(f"/proc/self/ns/{kind}")
    except OSError:
        return False


def _hostname(host: Host) -> str:
    """Another root's own file first: the kernel tells the name of the reader's UTS namespace."""
    name = _text(host, "/etc/hostname") if host.root != "/" else None
    return name or socket.gethostname()


def _btime(host: Host) -> int | None:
    """Source: proc_stat(5)."""
    try:
        content = host.read("/proc/stat", _MAX_STAT_BYTES)
    except OSError:
        return None
    _, found, rest = content.partition(b"\nbtime ")
    word = rest.split(b"\n", 1)[0]
    return int(word) if found and word.isdigit() else None


def _cgroup_mode(host: Host) -> str | None:
    """By the hierarchies that pid 1 is in."""
    try:
        content = host.read("/proc/1/cgroup", 1 << 16)
    except OSError:
        return None
    controllers = [controller for controller, _ in lines_of(content)]
    if not controllers:
        return None
    if all(controller == "" for controller in controllers):
        return "v2"
    return "hybrid" if "" in controllers else "v1"


def _text(host: Host, path: str) -> str | None:
    try:
        content = host.read(path, 4096)
    except OSError:
        return None
    return content.decode(errors="replace").strip() or None
