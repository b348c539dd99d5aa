"""Queues of unix listeners, asked of the kernel over netlink without touching any listener.

Source: sock_diag(7), unix_diag; linux/unix_diag.h and linux/netlink.h.
"""

import os
import socket
import struct
import time

from rtscope.model.facts import fact

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_MESSAGE = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_PAIR = struct.Struct("=II")
_STATE_LISTEN = 10
_SHOW_VFS = 0x02
_SHOW_RQLEN = 0x10
_ATTR_VFS = 1
_ATTR_RQLEN = 4
_RECEIVE_BYTES = 1 << 18
_KERNEL_MINOR_BITS = 20


@fact
class ListenQueue:
    """A listener as the kernel counts it.

    Attributes:
        queue: Connections that wait to be accepted. backlog: how many may.
        device, file_inode: Of the socket's file, as stat gives them; None for abstract names.
    """

    queue: int | None = None
    backlog: int | None = None
    device: int | None = None
    file_inode: int | None = None


def listen_queues(timeout_s: float) -> dict[int, ListenQueue]:
    """Socket inode -> queue, of every unix listener of this process's network namespace.

    Raises:
        OSError: the kernel refused, or did not answer in time.
    """
    deadline = time.monotonic() + timeout_s
    found: dict[int, ListenQueue] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        request = _REQUEST.pack(
            socket.AF_UNIX, 0, 0, 1 << _STATE_LISTEN, 0, _SHOW_VFS | _SHOW_RQLEN, 0, 0
        )
        head = _HEADER.pack(
            _HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0
        )
        netlink.sendto(head + request, (0, 0))
        is_done = False
        while not is_done:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("no answer from sock_diag")
            netlink.settimeout(left_s)
            is_done = _take(netlink.recv(_RECEIVE_BYTES), found)
    return found


def _take(data: bytes, found: dict[int, ListenQueue]) -> bool:
    """Read one datagram of the dump; whether it was the last."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if kind == _NLMSG_DONE or length < _HEADER.size:
            return True
        if kind == _NLMSG_ERROR:
            (number,) = struct.unpack_from("=i", data, at + _HEADER.size)
            raise OSError(-number, os.strerror(-number))
        _listener(data[at + _HEADER.size : at + length], found)
        at += (length + 3) & ~3
    return False


def _listener(message: bytes, found: dict[int, ListenQueue]) -> None:
    if len(message) < _MESSAGE.size:
        return
    inode = _MESSAGE.unpack_from(message)[4]
    queue = backlog = device = file_inode = None
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        if length >= _ATTRIBUTE.size + _PAIR.size and kind in (_ATTR_VFS, _ATTR_RQLEN):
            first, second = _PAIR.unpack_from(message, at + _ATTRIBUTE.size)
            if kind == _ATTR_RQLEN:
                queue, backlog = first, second
            else:
                file_inode, device = first, _device(second)
        at += (length + 3) & ~3
    found[inode] = ListenQueue(queue=queue, backlog=backlog, device=device, file_inode=file_inode)


def _device(number: int) -> int:
    """The kernel's own device number as stat tells it. Source: linux/kdev_t.h, MINORBITS."""
    return os.makedev(number >> _KERNEL_MINOR_BITS, number & ((1 << _KERNEL_MINOR_BITS) - 1))
