"""Who may use a socket or a directory: what a `denied` has to say to be of help."""

import grp
import os
import pwd
import stat

from rtscope.procfs.host import Host


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
