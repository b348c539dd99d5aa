import os
import socket
from pathlib import Path

import pytest

from rtscope.model.observation import Gap
from rtscope.model.state import Reason
from rtscope.procfs.diag import listen_queues
from rtscope.procfs.host import Host
from rtscope.procfs.sockets import Listener, listeners, with_holders
from rtscope.procfs.users import user_ids, user_managers
from tests.unit.procfs.tree import Tree


def _find(found: tuple[Listener, ...], path: str) -> Listener:
    return next(entry for entry in found if entry.path == path)


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


def test_a_live_listener_is_found_with_holder_queue_and_file(short: Path) -> None:
    path = str(short / "d.sock")
    clients = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen(7)
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            clients.append(client)
        entry = _find(listeners(Host(), [os.getpid()], timeout_s=60), path)
        status = os.stat(path)
        inode = int(os.readlink(f"/proc/self/fd/{sock.fileno()}")[8:-1])
    for client in clients:
        client.close()
    assert entry.inode == inode
    assert entry.holders == (os.getpid(),)
    assert (entry.queue, entry.backlog) == (3, 7)
    assert entry.file_inode == status.st_ino
    assert not entry.held_by_init


def test_connected_sockets_and_strangers_are_no_listeners(short: Path) -> None:
    left, right = socket.socketpair()
    with left, right, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(short / "only-bound"))
        paths = {entry.path for entry in listeners(Host(), timeout_s=60)}
    assert str(short / "only-bound") not in paths


def test_with_holders_searches_every_process(short: Path) -> None:
    path = str(short / "d.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        unknown = _find(listeners(Host(), timeout_s=60), path)
        assert unknown.holders == ()
        (entry,) = with_holders(Host(), (unknown,))
    # On a very busy machine the search may end before it comes to this process.
    assert entry.holders in ((os.getpid(),), ())
    assert entry.holders or not entry.is_searched


def test_queues_of_the_kernel_are_asked_without_touching_a_listener(short: Path) -> None:
    path = str(short / "d.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen(5)
        inode = int(os.readlink(f"/proc/self/fd/{sock.fileno()}")[8:-1])
        for _ in range(3):
            assert listen_queues(60)[inode].queue == 0


def test_what_init_alone_holds_is_marked(tree: Tree) -> None:
    tree.listener(11, "/run/podman/podman.sock")
    tree.listener(12, "/run/docker.sock")
    tree.listener(13, "@abstract")
    for number, inode in ((3, 11), (4, 12)):
        (tree.proc / "1" / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    tree.dockerd(100, sockets=[12])
    found = listeners(tree.host, [100])
    assert _find(found, "/run/podman/podman.sock").held_by_init
    docker = _find(found, "/run/docker.sock")
    assert (docker.holders, docker.held_by_init) == ((1, 100), False)
    assert _find(found, "@abstract").holders == ()


def test_search_in_a_tree_finds_any_holder(tree: Tree) -> None:
    tree.listener(11, "/run/docker.sock")
    tree.process(700, "socat", sockets=[5, 11])
    (entry,) = with_holders(tree.host, listeners(tree.host))
    assert (entry.holders, entry.held_by_init, entry.is_searched) == ((700,), False, True)


def test_listeners_of_a_holders_own_network_namespace_are_seen(tree: Tree) -> None:
    tree.dockerd(100, sockets=[21], namespaces={"net": 5})
    directory = tree.proc / "100" / "net"
    directory.mkdir()
    (directory / "unix").write_text(
        "Num RefCount Protocol Flags Type St Inode Path\n"
        "0: 00000002 00000000 00010000 0001 01 21 /run/user/7/docker.sock\n"
        "0: 00000003 00000000 00000000 0001 03 22 /run/user/7/docker.sock\n"
        "0: 00000002 00000000 00010000 0001 01 x broken\n"
    )
    (entry,) = listeners(tree.host, [100])
    assert (entry.path, entry.holders, entry.network_namespace) == (
        "/run/user/7/docker.sock",
        (100,),
        100,
    )


def test_outside_the_hosts_network_namespace_queues_are_a_gap(tree: Tree) -> None:
    (tree.proc / "1" / "ns" / "net").unlink()
    (tree.proc / "1" / "ns" / "net").symlink_to("net:[1]")
    tree.listener(11, "/run/docker.sock")
    gaps: list[Gap] = []
    (entry,) = listeners(tree.host, gaps=gaps)
    assert entry.queue is None
    assert [gap.reason for gap in gaps] == [Reason.UNSUPPORTED]


def test_a_refused_question_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_timeout_s: float) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("rtscope.procfs.sockets.listen_queues", refuse)
    gaps: list[Gap] = []
    listeners(Host(), gaps=gaps)
    assert [gap.reason for gap in gaps] == [Reason.DENIED]


def test_users_with_a_session_and_their_managers(tree: Tree) -> None:
    tree.directory("/run/user/1500")
    tree.directory("/run/user/0")
    tree.directory("/run/user/notes")
    scope = "user.slice/user-1500.slice/user@1500.service/init.scope/cgroup.procs"
    tree.file(f"/sys/fs/cgroup/{scope}", "900\n901\n")
    assert user_ids(tree.host) == (1500,)
    assert user_managers(tree.host) == (900, 901)
