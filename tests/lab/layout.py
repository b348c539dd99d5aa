"""Where the parts of a lab are: one folder, one cgroup, short names."""

import os
import re
from dataclasses import dataclass

# Short, because a unix socket's path has at most 107 bytes. Source: unix(7), sun_path.
ROOT = os.environ.get("RTSCOPE_LAB_DIR", "/tmp/rtscope-lab")
SOCKET_PATH_LIMIT = 107
IMAGE = "docker.io/rtlab/busybox:1"
PAUSE_IMAGE = "docker.io/rtlab/pause:1"
GENERATIONS = ("forky", "trixie", "host")
ENGINES = ("containerd", "docker", "cri", "podman", "runc", "crun", "runsc", "youki")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,20}")


def is_name(text: str) -> bool:
    """Whether a lab may be called so."""
    return _NAME.fullmatch(text) is not None


class LabError(Exception):
    """Something of the lab does not work; the text says what, and ends with the log."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of the lab of that name."""

    name: str

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise LabError(f"lab name {self.name!r}: 1 to 21 of a-z 0-9 -, not - first")
        if len(self.path("docker/exec/libnetwork/0123456789ab.sock")) > SOCKET_PATH_LIMIT:
            raise LabError(f"{self.dir}: too long for unix sockets")

    @property
    def dir(self) -> str:
        return os.path.join(ROOT, self.name)

    @property
    def cgroup(self) -> str:
        """The path of the lab's cgroup in every hierarchy."""
        return f"/rtlab-{self.name}"

    def path(self, relative: str) -> str:
        return os.path.join(self.dir, relative)

    @property
    def sockets(self) -> dict[str, str]:
        return {
            "containerd": self.path("c.sock"),
            "cri": self.path("c.sock"),
            "docker": self.path("d.sock"),
            "podman": self.path("p.sock"),
        }

    @property
    def paths(self) -> dict[str, str]:
        """Roots and states, by the names that `describe` uses."""
        return {
            "containerd_root": self.path("ctrd/root"),
            "containerd_state": self.path("ctrd/run"),
            "containerd_config": self.path("ctrd/config.toml"),
            "containerd_oci_root": self.path("ctrd/runc"),
            "docker_data": self.path("docker/data"),
            "docker_exec": self.path("docker/exec"),
            "docker_config": self.path("docker/daemon.json"),
            "docker_oci_root": self.path("docker/exec/runtime-runc/moby"),
            "podman_root": self.path("podman/root"),
            "podman_run": self.path("podman/run"),
            "podman_oci_root": self.path("podman/runc"),
            "podman_crun_root": self.path("podman/crun"),
            "podman_cmd": self.path("bin/podman"),
            "runc_root": self.path("oci/runc"),
            "crun_root": self.path("oci/crun"),
            "runsc_root": self.path("oci/runsc"),
            "youki_root": self.path("oci/youki"),
            "crun_cmd": self.path("bin/crun"),
            "runsc_cmd": self.path("bin/runsc"),
            "logs": self.path("log"),
        }
