"""The environment: whose it is, and what of it counts."""

import os
from collections.abc import Mapping

HOST_ROOT = "RTSCOPE_HOST_ROOT"


def is_through_sudo(environ: Mapping[str, str], euid: int) -> bool:
    """Whether root is somebody else's borrowed root. Source: sudo(8), SUDO_UID."""
    return euid == 0 and environ.get("SUDO_UID", "0") != "0"


def is_roots(path: str | int) -> bool:
    """Whether only root could have written a file: it is root's, and its mode lets nobody else.

    Takes a path or a descriptor.
    """
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid == 0 and not status.st_mode & 0o022


def client_environ(environ: Mapping[str, str], euid: int) -> Mapping[str, str]:
    """The environment that docker, ctr, crictl and podman would read in our place.

    Empty where root was reached through sudo and kept another user's home: what that user's files
    and variables name is not root's to follow.
    """
    home = environ.get("HOME")
    if is_through_sudo(environ, euid) and home is not None and not _is_owned_by(home, 0):
        return {}
    return dict(environ)


def user_file(environ: Mapping[str, str], euid: int) -> str | None:
    """Where the user's own configuration file would be; None where it must not be loaded.

    As root only a file that root alone can write is loaded, whoever's home it is in.
    """
    base = environ.get("XDG_CONFIG_HOME") or (
        f"{environ['HOME']}/.config" if environ.get("HOME") else None
    )
    if base is None or not base.startswith("/"):
        return None
    path = f"{base}/rtscope/rtscope.toml"
    if euid == 0 and os.path.exists(path) and not is_roots(path):
        return None
    return path


def _is_owned_by(path: str, uid: int) -> bool:
    try:
        return os.stat(path).st_uid == uid
    except OSError:
        return False
