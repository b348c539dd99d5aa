"""OCI bundles for runtimes that are used without an engine."""

import json
import os
from collections.abc import Sequence

_CAPABILITIES = ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"]
_MOUNTS = (
    ("/proc", "proc", "proc", ()),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666")),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    ("/tmp", "tmpfs", "tmp", ("nosuid", "nodev")),
)


def spec(
    rootfs: str, command: Sequence[str], cgroup: str, name: str, environ: Sequence[str] = ()
) -> dict[str, object]:
    """A small config.json that every runtime accepts. No rlimits: they cannot be raised here."""
    sets = ("bounding", "effective", "permitted")
    namespaces = ("pid", "ipc", "uts", "mount", "network")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(command),
            "env": ["PATH=/bin", *environ],
            "cwd": "/",
            "capabilities": dict.fromkeys(sets, _CAPABILITIES),
            "noNewPrivileges": True,
        },
        "root": {"path": rootfs, "readonly": True},
        "hostname": "lab",
        "mounts": [
            {"destination": at, "type": kind, "source": source, "options": list(options)}
            for at, kind, source, options in _MOUNTS
        ],
        "annotations": {"rtlab": name},
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys"],
        },
    }


def write(folder: str, document: dict[str, object]) -> str:
    """Write a bundle; returns its folder."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(document, file)
    return folder
