"""Mounts of a mount namespace, and which of them can make a reader wait for ever."""

import re

from rtscope.model.facts import fact

_NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "lustre", "gpfs", "beegfs"),
        *("ocfs2", "gfs2", "coda", "pvfs2", "fuse", "fuseblk", "autofs"),
    }
)
"""Types whose answer depends on another machine, or on a process.

autofs is among them because looking at it mounts something. Source: filesystems in Linux' fs/ and
autofs(5).
"""

_OCTAL = re.compile(rb"\\([0-7]{3})")


@fact
class Mount:
    """One line of mountinfo.

    Attributes:
        point: Where it is mounted, as the namespace's root sees it.
        device: `major:minor`, as stat tells it.
    """

    point: str
    kind: str
    device: str


def parse_mountinfo(content: bytes) -> tuple[Mount, ...]:
    """Every mount, in order: a later one hides an earlier one of the same point.

    Source: proc_pid_mountinfo(5), fields 3, 5 and the first after the separator.
    """
    mounts = []
    for line in content.splitlines():
        fields, found, rest = line.partition(b" - ")
        parts = fields.split(b" ")
        if not found or len(parts) < 6:
            continue
        point = _OCTAL.sub(lambda m: bytes([int(m[1], 8) & 0xFF]), parts[4])
        mounts.append(
            Mount(
                point=point.decode(errors="surrogateescape"),
                kind=rest.split(b" ", 1)[0].decode(errors="replace"),
                device=parts[2].decode(errors="replace"),
            )
        )
    return tuple(mounts)


def may_block(kind: str) -> bool:
    """Whether a file system of this type can make whoever looks at it wait without end."""
    return kind in _NETWORK_TYPES or kind.startswith("fuse.")


def mount_of(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    """The mount that holds `path`; links are not looked at."""
    best: Mount | None = None
    for mount in mounts:
        point = mount.point.rstrip("/")
        is_inside = path == point or path.startswith(f"{point}/")
        if is_inside and (best is None or len(point) >= len(best.point.rstrip("/"))):
            best = mount
    return best
