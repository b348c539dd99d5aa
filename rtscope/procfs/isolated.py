"""What may block in the kernel, done by a process that can be left behind.

A thread stuck in a read keeps its process from ending; a child does not. The child is a bare Python
that reads one thing and writes it to a pipe. At the deadline it gets SIGKILL and is not waited for.
"""

import errno
import os
import select
import signal
import sys
import time

_CHILD = r"""
import os, stat, sys
operation, path, limit = sys.argv[1], os.fsencode(sys.argv[2]), int(sys.argv[3])
try:
    if operation == "names":
        answer = b"\0".join(os.listdir(path))
    elif operation == "link":
        answer = os.readlink(path)
    elif operation == "stat":
        answer = " ".join(str(int(n)) for n in os.stat(path)).encode()
    else:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(22, "not a regular file")
        answer = b""
        while len(answer) < limit:
            part = os.read(fd, min(limit - len(answer), 1 << 20))
            if not part:
                break
            answer += part
    head = b"0\n"
except OSError as error:
    head, answer = b"%d\n" % (error.errno or 5), b""
out = head + answer
while out:
    out = out[os.write(1, out):]
"""

_CHUNK_BYTES = 1 << 16
_MAX_ANSWER_BYTES = 64 << 20
_EXIT_S = 0.02


class BlockedError(TimeoutError):
    """A file system or a process in the kernel did not answer in time."""


def isolated(operation: str, path: str, limit: int, timeout_s: float) -> bytes:
    """The result of `read`, `names`, `link` or `stat` on a path that may block.

    Raises:
        BlockedError: no answer within `timeout_s`, or no process could be started for it.
        OSError: what the system call said.
    """
    deadline = time.monotonic() + timeout_s
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = None
    try:
        try:
            pid = _spawn(operation, path, limit, writer)
        finally:
            os.close(writer)
        answer = _receive(reader, deadline, path)
    finally:
        os.close(reader)
        if pid is not None:
            _leave(pid)
    head, _, body = answer.partition(b"\n")
    number = int(head) if head.isdigit() else errno.EIO
    if number:
        raise OSError(number, os.strerror(number), path)
    return body


def _spawn(operation: str, path: str, limit: int, writer: int) -> int:
    argv = [sys.executable, "-I", "-S", "-B", "-c", _CHILD, operation, path, str(limit)]
    try:
        return os.posix_spawn(
            sys.executable,
            argv,
            {},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writer, 1),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BlockedError(
            errno.EAGAIN, f"may block, and no helper process could be started: {why}", path
        ) from error


def _receive(reader: int, deadline: float, path: str) -> bytes:
    parts = []
    size = 0
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    while size <= _MAX_ANSWER_BYTES:
        left_ms = (deadline - time.monotonic()) * 1000
        if left_ms <= 0 or not poller.poll(left_ms):
            raise BlockedError(errno.ETIMEDOUT, "no answer from its file system", path)
        part = os.read(reader, _CHUNK_BYTES)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


_abandoned: set[int] = set()


def _leave(pid: int) -> None:
    """End a child and wait for it no longer than an ordinary exit takes."""
    _abandoned.add(pid)
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        _abandoned.discard(pid)
    give_up_at = time.monotonic() + _EXIT_S
    while reap(pid) and time.monotonic() < give_up_at:
        time.sleep(_EXIT_S / 20)
    for other in tuple(_abandoned):
        reap(other)


def reap(pid: int) -> bool:
    """Whether this child of ours is still there; one that has ended is collected."""
    if pid not in _abandoned:
        return False
    try:
        has_ended = os.waitpid(pid, os.WNOHANG)[0] == pid
    except OSError:
        has_ended = True
    if has_ended:
        _abandoned.discard(pid)
    return not has_ended
