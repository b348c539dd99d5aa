"""Opens a stream socket under a deadline, and says why it could not."""

import errno
import os
import socket

from rtscope.backends.channel.failure import Peer
from rtscope.errors import BackendDeniedError, BackendError, BackendUnavailableError

# Source: unix(7), struct sockaddr_un: 108 bytes, the last one a NUL for path names.
_PATH_LIMIT = 107


def dial(address: str, timeout_s: float, peer: Peer) -> socket.socket:
    """A connected, non-inheritable socket.

    Args:
        address: A path, `unix://PATH`, `@NAME` or `unix://@NAME` (abstract; a NUL for the `@` is
            taken as well), `abstract://NAME`, or `tcp://HOST:PORT`.
        timeout_s: For the whole of it.
        peer: Whom the errors name.

    Raises:
        BackendError: or one of its kinds; nothing else.
    """
    try:
        if address.startswith("tcp://"):
            return _dial_tcp(address, timeout_s)
        return _dial_unix(unix_address(address), timeout_s)
    except TimeoutError as error:
        raise peer.silent("no connection in time") from error
    except BlockingIOError as error:
        # Source: unix(7): connecting with a full backlog fails with EAGAIN if it may not block.
        raise peer.silent("the listener's queue is full") from error
    except OSError as error:
        raise _refused(error, address, peer) from error
    except ValueError as error:
        raise peer.error(BackendError, f"cannot dial {address!r}") from error


def unix_address(address: str) -> str:
    """The address as the kernel wants it: a path, or an abstract name after a NUL."""
    if address.startswith("abstract://"):
        return "\0" + address.removeprefix("abstract://").lstrip("@\0")
    path = address.removeprefix("unix://")
    return "\0" + path[1:] if path.startswith(("@", "\0")) else path


def _dial_unix(path: str, timeout_s: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(timeout_s)
        if len(os.fsencode(path)) <= _PATH_LIMIT:
            sock.connect(path)
        else:
            _connect_long(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_long(sock: socket.socket, path: str) -> None:
    """Reach a path that is too long for an address through its open folder."""
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


def _dial_tcp(address: str, timeout_s: float) -> socket.socket:
    host, separator, port = address.removeprefix("tcp://").rstrip("/").rpartition(":")
    if not separator:
        raise ValueError("no port")
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _refused(error: OSError, address: str, peer: Peer) -> BackendError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return peer.error(BackendDeniedError, "permission denied", _rights_of(address))
    if error.errno == errno.ENOENT:
        return peer.error(BackendUnavailableError, "no such socket")
    if error.errno == errno.ECONNREFUSED:
        return peer.error(BackendUnavailableError, "nobody listens")
    return peer.error(BackendUnavailableError, (error.strerror or str(error)).lower())


def _rights_of(address: str) -> str | None:
    if address.startswith("tcp://"):
        return None
    from rtscope.backends.rights import rights_of
    from rtscope.procfs.host import Host

    return rights_of(Host(), unix_address(address))
