"""The node's files, behind one door.

Backends ask here instead of the operating system, because three things have to hold for every file
that a sick or hostile node offers: below another root (a debug pod's `/host`, a container's root)
no link leads outside, no FIFO or device is ever opened, and no file system that may block is looked
at by this process.
"""

import errno
import os
import re
import stat
import threading
import time

from rtscope.config.deadlines import Deadlines
from rtscope.model.facts import replace
from rtscope.procfs.confined import open_in_root
from rtscope.procfs.isolated import BlockedError, isolated
from rtscope.procfs.mounts import Mount, may_block, mount_of, parse_mountinfo
from rtscope.procfs.ours import Ours

__all__ = ["BlockedError", "Host"]

MAX_FILE_BYTES = 16 << 20
"""What a read returns at most unless it is told otherwise."""

RECALLED_BYTES = 64 << 10
"""What `recall` returns at most."""

MAX_SOCKET_PATH_BYTES = 107
"""Source: unix(7), sun_path less its end."""

_OWN_MOUNTS = "/proc/self/mountinfo"
_MOUNTS_TTL_S = 5.0
_MAX_MOUNTINFO_BYTES = 8 << 20
_MAX_LINKS = 40
_INSIDE = re.compile(r"/proc/([0-9]+)/root(/.*|)$", re.DOTALL)
_ROOT_OF = re.compile(r"(/.*)/([0-9]+)/root", re.DOTALL)


class Host:
    """The node's file systems and /proc, seen from `root`.

    Paths are those of the node: `/run/docker.sock`, whatever `root` is. A path below
    `/proc/PID/root` is resolved inside that process's root, links included.

    Attributes:
        root: Where the node's file systems are seen: `/`, or `/host` in a debug pod.
        proc: Where the node's /proc is: `ROOT/proc`, or `/proc` where nothing is mounted there.
        timeout_s: How long a file system that may block has for an answer.
        remembers: It is for one listing: `recall` reads a file once.
    """

    def __init__(
        self, root: str = "/", *, timeout_s: float | None = None, remembers: bool = False
    ) -> None:
        self.root = os.path.normpath(root) if root else "/"
        self.timeout_s = Deadlines().blocking_read_s if timeout_s is None else timeout_s
        self._prefix = "" if self.root == "/" else self.root
        own = f"{self._prefix}/proc"
        self.proc = own if self._prefix and os.path.exists(f"{own}/1/stat") else "/proc"
        owner = _ROOT_OF.fullmatch(self.root)
        self._owner = int(owner[2]) if owner else None
        if owner:
            self.proc = owner[1]
        self._mounts: dict[str, tuple[float, tuple[Mount, ...], bool]] = {}
        self._silent: dict[tuple[str, str], float] = {}
        self._kept: dict[str, int] = {}
        self._recalled: dict[str, bytes] | None = {} if remembers else None
        self._ours = Ours()
        self._lock = threading.Lock()

    def path(self, path: str) -> str:
        """Where this process would find it; links in it are not resolved inside the root."""
        if self._prefix and path.startswith("/proc/"):
            return self.proc + path[5:]
        return self._prefix + path

    def in_container(self, pid: int) -> "Host":
        """The files as the process `pid` of the node sees them."""
        return Host(f"{self.proc}/{pid}/root", timeout_s=self.timeout_s)

    def read(self, path: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """The content of a regular file, at most `limit` bytes of it.

        Raises:
            BlockedError: its file system did not answer in time.
            OSError: what the system says; EINVAL for anything but a regular file.
        """
        if self.may_block(path):
            return self._isolated("read", path, limit)
        fd = None
        if not self._prefix and not path.startswith("/proc/"):
            fd = self._ours.open(path)
        if fd is None:
            fd = self._open_regular(path)
        try:
            data = os.read(fd, limit)
            if len(data) == limit or not data:
                return data
            parts = [data]
            while limit > (size := sum(map(len, parts))):
                part = os.read(fd, limit - size)
                if not part:
                    break
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(fd)

    def recall(self, path: str) -> bytes:
        """The same for a small file that several ask for and that nobody changes.

        Raises:
            BlockedError: its file system did not answer in time.
            OSError: what the system says; EINVAL for anything but a regular file.
        """
        if self._recalled is None:
            return self.read(path, RECALLED_BYTES)
        if path not in self._recalled:
            self._recalled[path] = self.read(path, RECALLED_BYTES)
        return self._recalled[path]

    def names(self, path: str) -> list[str]:
        """The names in a directory, in no order.

        Raises:
            BlockedError: its file system did not answer in time.
            OSError: what the system says.
        """
        if self.may_block(path):
            answer = self._isolated("names", path, 0)
            return [os.fsdecode(name) for name in answer.split(b"\0") if name]
        if self._confined(path) is None:
            return os.listdir(path)
        fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def stat(self, path: str) -> os.stat_result:
        """The attributes of the file that the path leads to.

        Raises:
            BlockedError: its file system did not answer in time.
            OSError: what the system says.
        """
        if self.may_block(path):
            numbers = self._isolated("stat", path, 0).split()
            return os.stat_result([int(number) for number in numbers])
        if self._confined(path) is None:
            return os.stat(path)
        fd = self._open(path, os.O_PATH)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether something is there; False, too, for what cannot be looked at."""
        try:
            self.stat(path)
        except OSError:
            return False
        return True

    def readlink(self, path: str) -> str:
        """What a symbolic link says; it may be one of /proc."""
        if self.may_block(path):
            return os.fsdecode(self._isolated("link", path, 0))
        if self._confined(path) is None or _is_of_proc(path):
            return os.readlink(self.path(path))
        fd = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)

    def connectable(self, path: str) -> str:
        """An address for connect(2) that reaches the socket at `path` and nothing else.

        Below another root it is a name in /proc/self/fd that stays good until `close`: for the
        node's own files of the directory, for a container's of the socket itself, which can then
        not be exchanged between the look and the connection.

        Raises:
            OSError: nothing is there, or it is no socket.
        """
        confined = self._confined(path)
        if confined is None and len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        directory, name = os.path.split(path)
        if confined is not None and confined[2] is not None:
            return f"/proc/self/fd/{self._keep(path, os.O_PATH)}"
        fd = self._keep(directory, os.O_PATH | os.O_DIRECTORY)
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISSOCK(status.st_mode) and len(os.fsencode(name)) < MAX_SOCKET_PATH_BYTES - 24:
            return f"/proc/self/fd/{fd}/{name}"
        return f"/proc/self/fd/{self._keep(path, os.O_PATH)}"

    def close(self) -> None:
        """Let go of what `connectable` keeps open. Safe to call twice."""
        with self._lock:
            kept = tuple(self._kept.values())
            self._kept.clear()
        for fd in kept:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def filesystem_of(self, path: str) -> str | None:
        """The type of the file system that holds `path`, from mountinfo; None if unknown."""
        mounts, inside = self._mounts_of(path, only_where_one_may_block=False)
        mount = mount_of(mounts, inside)
        return None if mount is None else mount.kind

    def mounts(self) -> tuple[Mount, ...]:
        """Every mount of the node's own namespace, as the reader sees it."""
        return self._mounts_of("/run", only_where_one_may_block=False)[0]

    def may_block(self, path: str) -> bool:
        """Whether looking at `path` could make the reader wait without end.

        Links are followed by hand and only where a blocking mount exists at all.
        """
        if not self._prefix and not path.startswith("/proc/"):
            known = self._mounts.get(_OWN_MOUNTS)
            if known is not None and not known[2] and time.monotonic() - known[0] <= _MOUNTS_TTL_S:
                return False
        mounts, inside = self._mounts_of(path)
        return self._blocking_mount(path, inside, mounts) is not None

    def _blocking_mount(self, path: str, inside: str, mounts: tuple[Mount, ...]) -> Mount | None:
        if not mounts:
            return None
        base = path[: len(path) - len(inside)] if path.endswith(inside) else ""
        todo = [part for part in reversed(inside.split("/")) if part]
        at, links = "", 0
        while True:
            mount = mount_of(mounts, at or "/")
            if mount is not None and may_block(mount.kind) and mount.point != "/":
                return mount
            if not todo:
                return None
            part = todo.pop()
            if part in (".", ".."):
                at = at if part == "." else at.rpartition("/")[0]
                continue
            following = f"{at}/{part}"
            mount = mount_of(mounts, following)
            target = None
            if mount is None or not may_block(mount.kind):
                target = self._target(f"{base}{following}")
            if target is None or links >= _MAX_LINKS:
                at = following
                continue
            links += 1
            todo.extend(piece for piece in reversed(target.split("/")) if piece)
            at = "" if target.startswith("/") else at

    def _target(self, path: str) -> str | None:
        """Where a link leads; None if it is none. Only for paths known not to block."""
        try:
            if self._confined(path) is None:
                return os.readlink(path)
            fd = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return os.readlink("", dir_fd=fd)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _mounts_of(
        self, path: str, *, only_where_one_may_block: bool = True
    ) -> tuple[tuple[Mount, ...], str]:
        """The mounts of the namespace that `path` belongs to, and the path inside it."""
        if _is_of_proc(path):
            return (), path
        root, inside, owner = self._confined(path) or ("/", path, None)
        strip = ""
        if owner is not None:
            source = f"{self.proc}/{owner}/mountinfo"
        elif self._prefix and self.proc != "/proc":
            source = f"{self.proc}/1/mountinfo"
        else:
            source = _OWN_MOUNTS
            strip = root.rstrip("/")
        now = time.monotonic()
        known = self._mounts.get(source)
        if known is None or now - known[0] > _MOUNTS_TTL_S:
            mounts = _read_mounts(source, strip)
            blocks = any(may_block(mount.kind) and mount.point != "/" for mount in mounts)
            known = self._mounts[source] = (now, mounts, blocks)
        return known[1] if known[2] or not only_where_one_may_block else (), inside

    def _isolated(self, operation: str, path: str, limit: int) -> bytes:
        """Ask a helper; a mount that let one helper wait is not asked again for a while."""
        mounts, inside = self._mounts_of(path)
        mount = self._blocking_mount(path, inside, mounts)
        key = ("", "") if mount is None else (mount.point, mount.device)
        if time.monotonic() - self._silent.get(key, float("-inf")) < _MOUNTS_TTL_S:
            raise BlockedError(errno.ETIMEDOUT, "its file system did not answer before", path)
        try:
            return isolated(operation, self._isolated_path(path), limit, self.timeout_s)
        except BlockedError:
            self._silent[key] = time.monotonic()
            raise

    def _isolated_path(self, path: str) -> str:
        return path if self._confined(path) is None else self.path(path)

    def _confined(self, path: str) -> tuple[str, str, int | None] | None:
        """The root to resolve in, the path inside it, and the process whose root it is.

        None for the reader's own root, where nothing has to be confined.
        """
        if path.startswith("/proc/"):
            found = _INSIDE.match(path)
            if found is not None:
                return f"{self.proc}/{found[1]}/root", found[2] or "/", int(found[1])
        return (self.root, path, self._owner) if self._prefix else None

    def _open(self, path: str, flags: int) -> int:
        confined = self._confined(path)
        if confined is None:
            return os.open(path, flags | os.O_CLOEXEC)
        if _is_of_proc(path):
            return os.open(self.path(path), flags | os.O_CLOEXEC)
        root = os.open(confined[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_in_root(root, confined[1], flags)
        finally:
            os.close(root)

    def _open_regular(self, path: str) -> int:
        """A readable descriptor of a regular file; opening anything else could have an effect."""
        look = self._open(path, os.O_PATH)
        try:
            if not stat.S_ISREG(os.fstat(look).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return os.open(f"/proc/self/fd/{look}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.close(look)

    def _keep(self, path: str, flags: int) -> int:
        with self._lock:
            if path not in self._kept:
                self._kept[path] = self._open(path, flags)
            return self._kept[path]


def _is_of_proc(path: str) -> bool:
    """Whether the path stays in procfs itself."""
    return path.startswith("/proc/") and _INSIDE.match(path) is None


def _read_mounts(source: str, strip: str) -> tuple[Mount, ...]:
    """A namespace's mounts below `strip`; none where mountinfo cannot be read."""
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        parts = []
        size = 0
        while size < _MAX_MOUNTINFO_BYTES and (part := os.read(fd, 1 << 16)):
            parts.append(part)
            size += len(part)
    except OSError:
        return ()
    finally:
        os.close(fd)
    mounts = parse_mountinfo(b"".join(parts))
    if not strip:
        return mounts
    inside = (mount for mount in mounts if mount.point.startswith(f"{strip}/"))
    return tuple(replace(mount, point=mount.point[len(strip) :]) for mount in inside)
