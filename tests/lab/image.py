"""Image archives made from the machine's static busybox; the same bytes every time."""

import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence

from tests.lab import packages

_APPLETS = (
    "awk cat chmod cp date dd df dmesg du echo env false find free grep head hostname httpd id ip "
    "kill killall ln ls mkdir mount nc nslookup ping pkill printf ps pwd rm sed seq sh sleep sort "
    "stat sync tail tar tee test time timeout top touch tr true tty umount uname uniq uptime "
    "usleep vi wc wget which xargs yes"
)
_FOLDERS = ("bin", "dev", "etc", "proc", "root", "run", "sys", "var")
_FILES = {
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/os-release": 'ID=rtlab\nPRETTY_NAME="busybox of the rtscope lab"\n',
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# A pause that ends at once when asked to.
PAUSE = ("/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done")


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def _add_special(archive: tarfile.TarFile, name: str, kind: bytes, mode: int, link: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, mode, link
    archive.addfile(entry)


def _busybox() -> bytes:
    path = packages.find("busybox")
    if path is None:
        raise FileNotFoundError("busybox (Debian: busybox-static)")
    with open(os.path.realpath(path), "rb") as file:
        return file.read()


def layer() -> bytes:
    """The one layer, as an uncompressed tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in _FOLDERS:
            _add_special(archive, name, tarfile.DIRTYPE, 0o755, "")
        _add_special(archive, "tmp", tarfile.DIRTYPE, 0o1777, "")
        _add(archive, "bin/busybox", _busybox(), 0o755)
        for name in _APPLETS.split():
            _add_special(archive, f"bin/{name}", tarfile.SYMTYPE, 0o777, "busybox")
        for name, text in _FILES.items():
            _add(archive, name, text.encode())
    return buffer.getvalue()


def write_archive(
    path: str,
    reference: str,
    *,
    layer_tar: bytes,
    entrypoint: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> None:
    """A docker-archive, which docker load, ctr images import and podman load all read."""
    digest = hashlib.sha256(layer_tar).hexdigest()
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "config": {
            "Cmd": None if entrypoint else ["sh"],
            "Entrypoint": list(entrypoint) or None,
            "Env": ["PATH=/bin"],
            "Labels": dict(labels or {}) or None,
            "WorkingDir": "/",
        },
        "created": "2020-01-01T00:00:00Z",
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "rtscope lab"}],
        "os": "linux",
        "rootfs": {"diff_ids": [f"sha256:{digest}"], "type": "layers"},
    }
    text = json.dumps(config, sort_keys=True).encode()
    name = hashlib.sha256(text).hexdigest() + ".json"
    manifest = [{"Config": name, "Layers": [f"{digest}/layer.tar"], "RepoTags": [reference]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, name, text)
        _add(archive, f"{digest}/layer.tar", layer_tar)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def unpack(layer_tar: bytes, folder: str) -> None:
    """The image's root file system as a folder, for bare bundles."""
    os.makedirs(folder)
    subprocess.run(["tar", "-xC", folder, "--no-same-owner"], input=layer_tar, check=True)
