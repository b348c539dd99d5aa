"""Unix listeners of the node and who holds them, found without connecting to any."""

import os
import time
from collections.abc import Collection, Iterable, Iterator

from rtscope.config.deadlines import Deadlines
from rtscope.model.facts import fact, replace
from rtscope.model.observation import Gap
from rtscope.model.state import Reason
from rtscope.procfs.detail import namespace_of
from rtscope.procfs.diag import ListenQueue, listen_queues
from rtscope.procfs.files import link_of, slurp_all
from rtscope.procfs.host import Host

_ACCEPTS = b"00010000"
"""__SO_ACCEPTCON: somebody called listen. Source: proc_pid_net(5), net/unix/af_unix.c."""

_MAX_TABLE_BYTES = 64 << 20
_MAX_DESCRIPTORS = 20_000
_SEARCH_S = 0.25
_SOURCE = "procfs:///proc"


@fact
class Listener:
    """A listening unix socket.

    Attributes:
        path: As it was bound: `@name` if abstract, relative if its daemon bound it so.
        inode: Of the socket, as /proc/PID/fd shows it.
        holders: Pids that have it open, of those that were looked at.
        queue: Connections that wait in it. backlog: how many may. None where not told.
        held_by_init: pid 1 alone holds it: a connection would start its service.
        is_searched: Every process of the node was asked whether it holds it.
        device, file_inode: Of the socket's file; None where not told.
        network_namespace: Pid whose /proc/PID/net/unix shows it; None for the host's own.
    """

    path: str
    inode: int
    holders: tuple[int, ...] = ()
    queue: int | None = None
    backlog: int | None = None
    held_by_init: bool = False
    is_searched: bool = False
    device: int | None = None
    file_inode: int | None = None
    network_namespace: int | None = None


def listeners(
    host: Host,
    holders: Iterable[int] = (),
    *,
    gaps: list[Gap] | None = None,
    timeout_s: float | None = None,
) -> tuple[Listener, ...]:
    """Every unix listener of the host's network namespace, and of those that `holders` are in.

    Args:
        host: The node.
        holders: Processes that may hold one: daemons. pid 1 is always looked at.
        gaps: Takes what could not be said.
        timeout_s: Limit of the question to the kernel.
    """
    held = _holders_by_inode(host.proc, (1, *holders))
    queues = _queues(host, gaps, Deadlines().connect_s if timeout_s is None else timeout_s)
    found: dict[int, Listener] = {}
    for namespace, table in _tables(host, holders):
        for inode, path in _listening(table):
            if inode in found:
                continue
            queue = queues.get(inode, ListenQueue())
            pids = tuple(sorted(held.get(inode, ())))
            found[inode] = Listener(
                path=path,
                inode=inode,
                holders=pids,
                queue=queue.queue,
                backlog=queue.backlog,
                held_by_init=pids == (1,),
                device=queue.device,
                file_inode=queue.file_inode,
                network_namespace=namespace,
            )
    return tuple(found.values())


def with_holders(host: Host, wanted: Collection[Listener]) -> tuple[Listener, ...]:
    """The same listeners after every process of the node was asked whether it holds one.

    Bounded in time: on a node with very many descriptors the answer stays unknown.
    """
    if not wanted:
        return ()
    open_ones = {listener.inode for listener in wanted}
    found: dict[int, set[int]] = {}
    deadline = time.monotonic() + _SEARCH_S
    is_complete = True
    is_init_hidden = False
    for name in sorted(_names(host.proc), key=lambda name: int(name) if name.isdigit() else 0):
        if not name.isdigit():
            continue
        if time.monotonic() > deadline:
            is_complete = False
            break
        pid = int(name)
        inodes = _sockets_of(host.proc, pid)
        if inodes is None:
            # pid 1 may be closed to everybody; what nobody else holds is then its own.
            is_init_hidden = is_init_hidden or pid == 1
            is_complete = is_complete and pid == 1
            continue
        for inode in open_ones.intersection(inodes):
            found.setdefault(inode, set()).add(pid)
    return tuple(
        _held(listener, found.get(listener.inode, set()), is_complete) for listener in wanted
    )


def _held(listener: Listener, pids: set[int], is_complete: bool) -> Listener:
    holders = tuple(sorted({*listener.holders, *pids}))
    return replace(
        listener,
        holders=holders,
        held_by_init=holders == (1,) or (is_complete and not holders),
        is_searched=is_complete,
    )


def _queues(host: Host, gaps: list[Gap] | None, timeout_s: float) -> dict[int, ListenQueue]:
    """What netlink says; it sees the reader's own network namespace only."""
    first = link_of(f"{host.proc}/1/ns/net")
    if first is not None and first != link_of("/proc/self/ns/net"):
        _note(gaps, Reason.UNSUPPORTED, "not in the host's network namespace")
        return {}
    try:
        return listen_queues(timeout_s)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        is_denied = isinstance(error, PermissionError)
        _note(gaps, Reason.DENIED if is_denied else Reason.UNSUPPORTED, f"sock_diag: {why}")
        return {}


def _note(gaps: list[Gap] | None, reason: Reason, why: str) -> None:
    if gaps is not None:
        gaps.append(
            Gap(source=_SOURCE, subject="listeners", missing="queue", reason=reason, detail=why)
        )


def _tables(host: Host, holders: Iterable[int]) -> Iterator[tuple[int | None, bytes]]:
    """/proc/PID/net/unix of the host and of every other network namespace of a holder."""
    proc = host.proc
    content = slurp_all(f"{proc}/1/net/unix", _MAX_TABLE_BYTES)
    yield None, content or slurp_all(f"{proc}/self/net/unix", _MAX_TABLE_BYTES)
    # Some first processes hide their namespaces even from root: the reader's is then the node's.
    own = namespace_of(proc, 1, "net") or namespace_of("/proc", os.getpid(), "net")
    seen = {own, None}
    for pid in holders:
        namespace = namespace_of(proc, pid, "net")
        if namespace not in seen:
            seen.add(namespace)
            yield pid, slurp_all(f"{proc}/{pid}/net/unix", _MAX_TABLE_BYTES)


def _listening(table: bytes) -> Iterator[tuple[int, str]]:
    """(inode, path) of the listening stream and packet sockets with a name."""
    for line in table.split(b"\n"):
        if _ACCEPTS not in line:
            continue
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[3] == _ACCEPTS and fields[6].isdigit():
            yield int(fields[6]), fields[7].decode(errors="surrogateescape")


def _holders_by_inode(proc: str, pids: Iterable[int]) -> dict[int, set[int]]:
    held: dict[int, set[int]] = {}
    for pid in dict.fromkeys(pids):
        for inode in _sockets_of(proc, pid) or ():
            held.setdefault(inode, set()).add(pid)
    return held


def _sockets_of(proc: str, pid: int) -> set[int] | None:
    """Inodes of a process's sockets; None if its descriptors may not be seen.

    A process that is gone has none.
    """
    directory = f"{proc}/{pid}/fd"
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return set()
    except OSError:
        return None
    inodes = set()
    for name in names[:_MAX_DESCRIPTORS]:
        try:
            link = os.readlink(f"{directory}/{name}")
        except PermissionError:
            return None
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.add(int(link[8:-1]))
    return inodes


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
