"""What the node lets us reach, and if not, why: in words that help."""

import errno
import grp
import os
import pwd
import stat

from rtscope.backends.channel.failure import Peer
from rtscope.errors import BackendDeniedError, BackendUnavailableError
from rtscope.model.state import Reason
from rtscope.procfs.host import BlockedError, Host

_REASON_OF = {
    errno.EACCES: Reason.DENIED,
    errno.EPERM: Reason.DENIED,
    errno.ENOENT: Reason.ABSENT,
    errno.ENOTDIR: Reason.ABSENT,
}


def reach(host: Host, path: str, peer: Peer) -> str:
    """What connect(2) takes for a socket of the node.

    Raises:
        BackendError: or one of its kinds: it is not there, or out of our reach.
    """
    try:
        return host.connectable(path)
    except TimeoutError as error:
        raise peer.silent("its file system does not answer") from error
    except OSError as error:
        reason = reason_of_os_error(error)
        if reason is Reason.DENIED:
            hint = rights_of(host, path)
            raise peer.error(BackendDeniedError, "permission denied", hint) from error
        why = "no such socket" if reason is Reason.ABSENT else text_of(error)
        raise peer.error(BackendUnavailableError, why) from error


def reason_of_os_error(error: OSError) -> Reason:
    """The word for what a file or a directory answered."""
    if isinstance(error, BlockedError):
        return Reason.BLOCKED
    return _REASON_OF.get(error.errno or 0, Reason.MALFORMED)


def text_of(error: OSError) -> str:
    """The system's own words, in lower case."""
    return (error.strerror or str(error)).lower()


def unreadable(host: Host, path: str, error: OSError) -> str:
    """A gap's detail: the path, why it could not be read and, where denied, who could."""
    detail = f"{path}: {text_of(error)}"
    if reason_of_os_error(error) is Reason.DENIED and (hint := rights_of(host, path)):
        return f"{detail} ({hint})"
    return detail


def rights_of(host: Host, path: str) -> str | None:
    """Owner, group and mode of the first thing on the way to `path` that can still be seen."""
    while path not in ("", "/"):
        try:
            status = host.stat(path)
        except OSError:
            path = os.path.dirname(path)
            continue
        return f"{path} belongs to {_owner(status)}, mode {stat.S_IMODE(status.st_mode):04o}"
    return None


def _owner(status: os.stat_result) -> str:
    """`user:group` by name; the numbers where they have none."""
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"{user}:{group}"
