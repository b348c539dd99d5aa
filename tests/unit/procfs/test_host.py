import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from rtscope.procfs.confined import open_by_steps
from rtscope.procfs.host import BlockedError, Host
from tests.unit.procfs.tree import Tree


def test_read_of_the_own_root_returns_content_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    host = Host()
    assert host.read(str(tmp_path / "f"), 10) == b"x" * 10
    assert len(host.read(str(tmp_path / "f"))) == 100_000


def test_read_of_a_fifo_is_refused_at_once(tmp_path: Path, tree: Tree) -> None:
    os.mkfifo(tmp_path / "state.json")
    for host, path in ((Host(), str(tmp_path / "state.json")), (tree.host, "/state.json")):
        with pytest.raises(OSError, match="not a regular file") as caught:
            host.read(path)
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full", "/"])
def test_read_of_a_device_or_directory_is_refused(path: str) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        Host().read(path)


def test_read_of_procfs_works_though_its_files_have_no_size() -> None:
    assert b"NSpid" in Host().read("/proc/self/status")


def test_other_root_follows_absolute_links_inside_itself(tree: Tree) -> None:
    tree.file("/etc/real", "inside")
    (tree.root / "link").symlink_to("/etc/real")
    (tree.root / "loop").symlink_to("/loop")
    assert tree.host.read("/link") == b"inside"
    assert tree.host.stat("/link").st_size == len("inside")
    assert not tree.host.exists("/loop")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../etc/passwd"])
def test_other_root_is_never_left(tree: Tree, target: str) -> None:
    (tree.root / "escape").symlink_to(target)
    with pytest.raises(FileNotFoundError):
        tree.host.read("/escape")
    with pytest.raises(FileNotFoundError):
        tree.host.read("/../../../../../../etc/passwd")
    assert not tree.host.exists("/escape")


@pytest.mark.parametrize(
    "path", ["/d/f", "/d/../d/f", "/up", "/abs", "/../d/f", "/d/./f", "/into/f"]
)
def test_open_by_steps_finds_what_the_kernel_finds(tmp_path: Path, path: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"found")
    (tmp_path / "up").symlink_to("../../d/f")
    (tmp_path / "abs").symlink_to("/d/f")
    (tmp_path / "into").symlink_to("/d")
    root = os.open(tmp_path, os.O_PATH)
    try:
        fd = open_by_steps(root, path, os.O_RDONLY)
        assert os.read(fd, 10) == b"found"
        os.close(fd)
    finally:
        os.close(root)


def test_open_by_steps_stays_inside_and_ends_loops(tmp_path: Path) -> None:
    (tmp_path / "escape").symlink_to("/etc/passwd")
    (tmp_path / "loop").symlink_to("/loop")
    root = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(FileNotFoundError):
            open_by_steps(root, "/escape", os.O_RDONLY)
        with pytest.raises(OSError, match="symbolic links"):
            open_by_steps(root, "/loop", os.O_RDONLY)
        fd = open_by_steps(root, "/escape", os.O_PATH | os.O_NOFOLLOW)
        assert stat.S_ISLNK(os.fstat(fd).st_mode)
        os.close(fd)
    finally:
        os.close(root)


def test_path_below_a_process_root_is_resolved_inside_it(tree: Tree) -> None:
    tree.process(50, "sh")
    inside = tree.container_root(50)
    (inside / "etc").mkdir()
    (inside / "etc" / "f").write_text("of the container")
    (inside / "link").symlink_to("/etc/f")
    (inside / "out").symlink_to("/proc")
    assert tree.host.read("/proc/50/root/link") == b"of the container"
    assert tree.host.in_container(50).read("/link") == b"of the container"
    assert tree.host.names("/proc/50/root/etc") == ["f"]
    assert not tree.host.exists("/proc/50/root/out")


def test_path_below_the_own_process_root_of_the_live_machine() -> None:
    path = f"/proc/{os.getpid()}/root/proc/self/status"
    assert Host().exists(f"/proc/{os.getpid()}/root/etc")
    assert Host().filesystem_of(f"/proc/{os.getpid()}/root/proc") == "proc"
    with pytest.raises(OSError, match=r".*"):
        # A link of procfs that leads to a process is not followed in another's root.
        Host().read(path.replace("status", "exe"))


def test_names_and_readlink(tree: Tree) -> None:
    tree.file("/d/a")
    tree.file("/d/b")
    (tree.root / "d" / "l").symlink_to("/nowhere")
    assert sorted(tree.host.names("/d")) == ["a", "b", "l"]
    assert tree.host.readlink("/d/l") == "/nowhere"
    assert tree.host.readlink("/proc/1/exe") == "/usr/lib/systemd/systemd"


def test_names_of_invalid_utf8_survive(tree: Tree) -> None:
    directory = tree.directory("/d")
    Path(os.fsdecode(os.fsencode(directory) + b"/\xff")).write_bytes(b"content")
    (name,) = tree.host.names("/d")
    assert tree.host.read(f"/d/{name}") == b"content"


def _listen(directory: Path, name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    here = os.open(directory, os.O_PATH)
    try:
        sock.bind(f"/proc/self/fd/{here}/{name}")
    finally:
        os.close(here)
    sock.listen()
    return sock


@pytest.mark.parametrize("place", ["run", "proc/50/root/run"])
def test_connectable_below_another_root_reaches_the_socket(tree: Tree, place: str) -> None:
    tree.process(50, "sh")
    directory = tree.directory(f"/{place}")
    host = tree.host
    with _listen(directory, "d.sock") as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(host.connectable(f"/{place}/d.sock"))
        listener.accept()[0].close()
    host.close()
    host.close()


def test_connectable_of_a_long_path_is_short(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 60) / ("y" * 60)
    directory.mkdir(parents=True)
    host = Host()
    with _listen(directory, "d.sock"), socket.socket(socket.AF_UNIX) as client:
        address = host.connectable(str(directory / "d.sock"))
        assert len(address) < 100
        client.connect(address)
    host.close()


def test_connectable_in_a_container_cannot_be_led_outside(tree: Tree, tmp_path: Path) -> None:
    tree.process(50, "sh")
    inside = tree.container_root(50)
    with _listen(tmp_path, "host.sock"):
        (inside / "d.sock").symlink_to(tmp_path / "host.sock")
        with pytest.raises(FileNotFoundError):
            tree.host.connectable("/proc/50/root/d.sock")


def test_connectable_keeps_one_descriptor_for_a_directory(tree: Tree) -> None:
    directory = tree.directory("/run/s")
    host = tree.host
    with _listen(directory, "a"), _listen(directory, "b"):
        first, second = host.connectable("/run/s/a"), host.connectable("/run/s/b")
        assert first.rpartition("/")[0] == second.rpartition("/")[0]
    host.close()


def test_may_block_is_told_by_mountinfo_links_included(tree: Tree) -> None:
    tree.mounts("/ ext4", "/srv/slow fuse.sshfs", "/srv/slow/fast tmpfs", "/net nfs4")
    tree.directory("/srv/slow")
    (tree.root / "link").symlink_to("/srv/slow")
    (tree.root / "deep").mkdir()
    (tree.root / "deep" / "up").symlink_to("../link/sub")
    host = tree.host
    assert host.filesystem_of("/srv/slow/x") == "fuse.sshfs"
    assert host.filesystem_of("/srv/slower") == "ext4"
    blocking = ("/srv/slow", "/srv/slow/x", "/link", "/link/x", "/deep/up/x", "/net/a")
    assert [host.may_block(path) for path in blocking] == [True] * len(blocking)
    calm = ("/", "/srv", "/srv/slower", "/deep", "/srv/slow/../x", "/proc/1/stat")
    assert [host.may_block(path) for path in calm[:4]] == [False] * 4
    assert not host.may_block("/proc/1/stat")


def test_reading_where_it_may_block_is_done_by_a_helper(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.mounts("/ ext4", "/slow fuse")
    tree.file("/slow/f", "content")
    asked: list[str] = []
    real = __import__("rtscope.procfs.isolated", fromlist=["isolated"]).isolated

    def noting(operation: str, path: str, limit: int, timeout_s: float) -> bytes:
        asked.append(operation)
        answer: bytes = real(operation, path, limit, 60.0)
        return answer

    monkeypatch.setattr("rtscope.procfs.host.isolated", noting)
    host = tree.host
    assert host.read("/slow/f") == b"content"
    assert host.names("/slow") == ["f"]
    assert host.stat("/slow/f").st_size == 7
    assert host.exists("/slow/f")
    assert not host.exists("/slow/none")
    assert asked == ["read", "names", "stat", "stat", "stat"]


def test_a_mount_that_let_one_helper_wait_is_not_asked_again(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.mounts("/ ext4", "/slow fuse", "/other fuse")
    tree.file("/slow/f")
    calls: list[str] = []

    def stuck(operation: str, path: str, limit: int, timeout_s: float) -> bytes:
        calls.append(path)
        raise BlockedError(errno.ETIMEDOUT, "no answer", path)

    monkeypatch.setattr("rtscope.procfs.host.isolated", stuck)
    host = tree.host
    for _ in range(3):
        with pytest.raises(BlockedError):
            host.read("/slow/f")
    assert not host.exists("/other/f")
    assert len(calls) == 2


def test_host_can_be_used_by_many_threads(tree: Tree) -> None:
    tree.file("/f", "content")
    host = tree.host
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(host.read("/f"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"content"] * 8


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
def test_a_directory_that_others_may_write_to_is_read_all_the_same(
    tmp_path: Path, mode: int
) -> None:
    (tmp_path / "state.json").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("state.json")
    tmp_path.chmod(mode)
    host = Host()
    assert host.read(str(tmp_path / "state.json")) == b"{}"
    assert host.read(str(tmp_path / "link")) == b"{}"
    with pytest.raises(FileNotFoundError):
        host.read(str(tmp_path / "absent"))
    with pytest.raises(OSError, match="not a regular file"):
        host.read(str(tmp_path))
