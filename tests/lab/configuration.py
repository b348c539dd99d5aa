"""What the lab's daemons are configured with, per generation."""

import json
import os
from dataclasses import dataclass

from tests.lab.layout import PAUSE_IMAGE, Layout

_RUNC_V2 = "io.containerd.runc.v2"
_CRI_V2 = "io.containerd.grpc.v1.cri"
_CRI_RUNTIME = "io.containerd.cri.v1.runtime"
_CRI_IMAGES = "io.containerd.cri.v1.images"

# On a host with both cgroup versions mounted crun gives up ("cgroups in hybrid mode not
# supported"), so it runs where the v2 mount cannot be seen. Source: observed, crun 1.8.1 and 1.28.
_CRUN = """#!/bin/sh
[ -d /sys/fs/cgroup/unified ] || exec {crun} "$@"
exec unshare -m --propagation slave \\
    sh -c 'umount -l /sys/fs/cgroup/unified && exec {crun} "$@"' crun "$@"
"""
RUNSC_FLAGS = ("--platform=ptrace", "--network=none", "--ignore-cgroups")
_RUNSC = '#!/bin/sh\nexec {runsc} {flags} "$@"\n'

_PODMAN = """#!/bin/sh
export CONTAINERS_CONF={dir}/podman/containers.conf
export CONTAINERS_STORAGE_CONF={dir}/podman/storage.conf
export CONTAINERS_REGISTRIES_CONF={dir}/podman/registries.conf
export PODMAN_IGNORE_CGROUPSV1_WARNING=1
exec {podman} --root {dir}/podman/root --runroot {dir}/podman/run --tmpdir {dir}/podman/tmp \\
    --network-config-dir {dir}/podman/net \\
    --runtime-flag root={dir}/podman/${{RTSCOPE_LAB_RUNTIME:-runc}} "$@"
"""
_CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
infra_image = "{pause}"
[engine.runtimes]
crun = ["{dir}/bin/crun"]
runsc = ["{dir}/bin/runsc"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Full paths; youki None where it was not built."""

    crun: str
    runsc: str
    podman: str
    youki: str | None


def _write(path: str, text: str, mode: int = 0o644) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def write_wrappers(layout: Layout, binaries: Binaries) -> None:
    """Runtimes and podman with the flags that they need here."""
    flags = " ".join(RUNSC_FLAGS)
    _write(layout.path("bin/crun"), _CRUN.format(crun=binaries.crun), 0o755)
    _write(layout.path("bin/runsc"), _RUNSC.format(runsc=binaries.runsc, flags=flags), 0o755)
    podman = _PODMAN.format(dir=layout.dir, podman=binaries.podman)
    _write(layout.path("bin/podman"), podman, 0o755)


def write_podman(layout: Layout) -> None:
    text = _CONTAINERS_CONF.format(dir=layout.dir, pause=PAUSE_IMAGE)
    _write(layout.path("podman/containers.conf"), text)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{layout.path("podman/root")}"\n'
    storage += f'runroot = "{layout.path("podman/run")}"\n'
    _write(layout.path("podman/storage.conf"), storage)
    _write(layout.path("podman/registries.conf"), "unqualified-search-registries = []\n")


def write_docker(layout: Layout, binaries: Binaries, containerd_image_store: bool) -> None:
    runtimes: dict[str, dict[str, object]] = {
        "crun": {"path": layout.path("bin/crun")},
        "runsc": {"path": binaries.runsc, "runtimeArgs": list(RUNSC_FLAGS)},
    }
    if binaries.youki is not None:
        runtimes["youki"] = {"path": binaries.youki}
    document: dict[str, object] = {"runtimes": runtimes}
    if containerd_image_store:
        document["features"] = {"containerd-snapshotter": True}
    else:
        document["storage-driver"] = "overlay2"
    _write(layout.paths["docker_config"], json.dumps(document, indent=1))


def docker_arguments(layout: Layout) -> list[str]:
    sockets, paths = layout.sockets, layout.paths
    return [
        *("dockerd", "--config-file", paths["docker_config"], "--group", "root"),
        *("--containerd", sockets["containerd"]),
        *("--containerd-namespace", "moby", "--containerd-plugins-namespace", "plugins.moby"),
        *("--data-root", paths["docker_data"], "--exec-root", paths["docker_exec"]),
        *("-p", layout.path("docker/docker.pid"), "-H", f"unix://{sockets['docker']}"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
        *("--exec-opt", "native.cgroupdriver=cgroupfs"),
        *("--cgroup-parent", f"{layout.cgroup}/docker"),
    ]


def _head(version: int, root: str, state: str, opt: str, socket: str, disabled: list[str]) -> str:
    return f"""version = {version}
root = "{root}"
state = "{state}"
disabled_plugins = {json.dumps(disabled)}
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
"""


def _runtime(plugin: str, name: str, kind: str, root: str, binary: str) -> str:
    table = f'[plugins."{plugin}".containerd.runtimes.{name}'
    text = f'{table}]\n  runtime_type = "{kind}"\n{table}.options]\n  Root = "{root}"\n'
    return text + (f'  BinaryName = "{binary}"\n' if binary else "")


def write_containerd(layout: Layout, major: int, minor: int) -> None:
    """The main containerd, with CRI. restrict_oom_score_adj: runc may not lower it here."""
    newer = major >= 2
    plugin = _CRI_RUNTIME if newer else _CRI_V2
    paths = layout.paths
    streams = '  stream_server_address = "127.0.0.1"\n  stream_server_port = "0"\n'
    text = _head(
        3 if newer else 2,
        paths["containerd_root"],
        paths["containerd_state"],
        layout.path("ctrd/opt"),
        layout.sockets["containerd"],
        ["io.containerd.nri.v1.nri"],
    )
    if newer:
        text += f'[plugins."{_CRI_IMAGES}".pinned_images]\n  sandbox = "{PAUSE_IMAGE}"\n'
        text += f'[plugins."{_CRI_V2}"]\n{streams}'
    text += f'[plugins."{plugin}"]\n  restrict_oom_score_adj = true\n  disable_apparmor = true\n'
    if not newer:
        text += f'  sandbox_image = "{PAUSE_IMAGE}"\n{streams}'
    text += f'[plugins."{plugin}".cni]\n  conf_dir = "{layout.path("ctrd/cni")}"\n'
    text += '  bin_dir = "/usr/lib/cni"\n'
    text += f'[plugins."{plugin}".containerd]\n  default_runtime_name = "runc"\n'
    root = paths["containerd_oci_root"]
    text += _runtime(plugin, "runc", _RUNC_V2, root, "")
    text += _runtime(plugin, "crun", _RUNC_V2, root, layout.path("bin/crun"))
    if (major, minor) < (2, 0):
        text += _runtime(plugin, "runcv1", "io.containerd.runc.v1", root, "")
    _write(paths["containerd_config"], text)
    os.makedirs(layout.path("ctrd/cni"), exist_ok=True)


def write_second_containerd(layout: Layout, major: int) -> str:
    """A bare one, without CRI; returns its configuration's path."""
    disabled = [_CRI_V2, _CRI_RUNTIME, _CRI_IMAGES] if major >= 2 else [_CRI_V2]
    folder = layout.path("ctrd2")
    text = _head(
        3 if major >= 2 else 2,
        f"{folder}/root",
        f"{folder}/run",
        f"{folder}/opt",
        layout.path("c2.sock"),
        [*disabled, "io.containerd.nri.v1.nri"],
    )
    _write(f"{folder}/config.toml", text)
    return f"{folder}/config.toml"
