"""Opening a path inside another root, where every link is followed inside that root."""

import errno
import os
import stat

_OPENAT2 = 437
"""The same on every architecture. Source: Linux 5.6, arch/*/entry/syscalls."""

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_MAX_LINKS = 40
"""As many as the kernel follows. Source: path_resolution(7)."""

_ATTEMPTS = 8

_is_unsupported = False


def open_in_root(root_fd: int, path: str, flags: int) -> int:
    """A descriptor of `path` as a process sees it whose root is `root_fd`.

    Raises:
        OSError: as open(2) does.
    """
    global _is_unsupported
    if not _is_unsupported:
        for _ in range(_ATTEMPTS):
            try:
                return _openat2(root_fd, path, flags)
            except OSError as error:
                # EAGAIN: something was renamed on the way. Source: openat2(2).
                if error.errno == errno.EAGAIN:
                    continue
                if error.errno not in (errno.ENOSYS, errno.EPERM):
                    raise
                _is_unsupported = True
                break
    return open_by_steps(root_fd, path, flags)


def _openat2(root_fd: int, path: str, flags: int) -> int:
    import ctypes

    how = (ctypes.c_uint64 * 3)(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(root_fd),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return fd


def open_by_steps(root_fd: int, path: str, flags: int) -> int:
    """The same for kernels without openat2: one directory after another, links by hand."""
    follows = not flags & os.O_NOFOLLOW
    trail = [os.dup(root_fd)]
    todo = [part for part in reversed(path.split("/")) if part]
    links = 0
    try:
        while todo:
            name = todo.pop()
            if name == ".":
                continue
            if name == "..":
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=trail[-1])
            if stat.S_ISLNK(os.fstat(fd).st_mode) and (todo or follows):
                links += 1
                target = _target_of(fd, links, path)
                if target.startswith("/"):
                    while len(trail) > 1:
                        os.close(trail.pop())
                todo.extend(part for part in reversed(target.split("/")) if part)
                continue
            trail.append(fd)
        if flags & os.O_PATH:
            return os.dup(trail[-1])
        return os.open(f"/proc/self/fd/{trail[-1]}", flags | os.O_CLOEXEC)
    finally:
        for fd in trail:
            os.close(fd)


def _target_of(fd: int, links: int, path: str) -> str:
    try:
        target = os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)
    if links > _MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return target
