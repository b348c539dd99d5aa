"""Which backends there are: ours and the plug-ins', by the same entry points.

importlib.metadata costs 40 ms at start, so our own are named here as well and only plug-ins are
looked up in the metadata, and only where a distribution other than ours declares the group.
"""

import importlib
import os
import sys

from rtscope.backends.base import Backend
from rtscope.errors import UsageError

GROUP = "rtscope.backends"

BUILTIN = {
    "docker": "rtscope.backends.docker:DockerBackend",
    "dockerfs": "rtscope.backends.docker.files:DockerFilesBackend",
    "containerd": "rtscope.backends.containerd:ContainerdBackend",
    "shim": "rtscope.backends.shim:ShimBackend",
    "oci": "rtscope.backends.oci:OciBackend",
    "cri": "rtscope.backends.cri:CriBackend",
    "podman": "rtscope.backends.podman:PodmanBackend",
    "podmanfs": "rtscope.backends.podman.files:PodmanFilesBackend",
    "kubelet": "rtscope.backends.kubelet:KubeletBackend",
}

_LATE = {
    "docker": ("rtscope.backends.channel.http",),
    "podman": ("rtscope.backends.channel.http",),
    "containerd": ("rtscope.backends.channel.lean", "rtscope.backends.containerd.convert"),
    "cri": ("rtscope.backends.channel.lean", "rtscope.backends.cri.convert"),
    "shim": ("rtscope.backends.shim.convert", "rtscope._pb.ttrpc_pb2"),
}
"""What a backend imports at its first question."""

_loaded: dict[str, type[Backend]] = {}


def load(target: str) -> type[Backend]:
    """The class behind `module:Class`."""
    module, _, name = target.partition(":")
    backend: type[Backend] = getattr(importlib.import_module(module), name)
    return backend


def backend_of(kind: str) -> type[Backend]:
    """The class that reads endpoints of this kind.

    Raises:
        UsageError: no backend has that name.
    """
    if kind not in _loaded:
        target = BUILTIN.get(kind) or plugins().get(kind)
        if target is None:
            raise UsageError(
                f"engine {kind}: no backend of that name",
                f"known: {', '.join(sorted({*BUILTIN, *plugins()}))}",
            )
        _loaded[kind] = load(target)
    return _loaded[kind]


def preload(kind: str) -> None:
    """Imports everything that endpoints of this kind need."""
    backend_of(kind)
    for module in _LATE.get(kind, ()):
        importlib.import_module(module)


def plugins() -> dict[str, str]:
    """NAME -> `module:Class` of backends that other distributions bring.

    As root, what another user could have written is left out: a plug-in is code.
    """
    found: dict[str, str] = {}
    for directory in dict.fromkeys(sys.path):
        for name in _names(directory or "."):
            if name.endswith(".dist-info") and not name.startswith("rtscope-"):
                for kind, target in _group_of(os.path.join(directory, name)).items():
                    if kind not in BUILTIN and _is_safe(target):
                        found.setdefault(kind, target)
    return found


def _is_safe(target: str) -> bool:
    """Whether only root could have written the code, where root is about to run it."""
    if os.geteuid() != 0:
        return True
    place = target.partition(":")[0].partition(".")[0]
    for directory in dict.fromkeys(sys.path):
        base = os.path.join(directory or ".", place)
        for path in (os.path.join(base, "__init__.py"), f"{base}.py"):
            if os.path.exists(path):
                return _is_roots(path) and _is_roots(os.path.dirname(path))
    return False


def _is_roots(path: str) -> bool:
    status = os.stat(path)
    return status.st_uid == 0 and not status.st_mode & 0o022


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _group_of(dist_info: str) -> dict[str, str]:
    path = os.path.join(dist_info, "entry_points.txt")
    try:
        if os.geteuid() == 0 and not _is_roots(path):
            return {}
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 20)
    except OSError:
        return {}
    if f"[{GROUP}]" not in text:
        return {}
    lines = text.split(f"[{GROUP}]", 1)[1].split("[", 1)[0].splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): target.strip() for name, _, target in pairs}
