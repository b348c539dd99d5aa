"""An engine inside a container: containerd with a task of its own in a privileged container."""

from typing import TYPE_CHECKING, Any

from tests.lab import processes
from tests.lab import seed as seeds
from tests.lab.layout import IMAGE, LabError

if TYPE_CHECKING:
    from tests.lab.node import Node

OUTER = "d-nested"
INNER = "inner"
_SYSTEM = ("/usr", "/lib", "/lib64")
_START = "mkdir -p /run/containerd; exec containerd --config /dev/null"


def start(node: "Node") -> dict[str, Any]:
    """Needs docker and its image. The inner containerd is the machine's, whatever the generation.

    Returns:
        `outer_id` and `outer_pid` of the container, `inner_id` and `inner_pid` (host's view) of
        the task inside, `socket` of the inner containerd as seen from outside.
    """
    docker = node.clients.docker
    binds = [f"{path}:{path}:ro" for path in _SYSTEM]
    config = {
        "Image": seeds.DOCKER_IMAGE,
        "Cmd": ["sh", "-c", _START],
        "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        "Labels": {"rtlab": node.name},
        "HostConfig": {
            "NetworkMode": "none",
            "Privileged": True,
            "Binds": [*binds, f"{node.layout.path('img')}:/img:ro"],
            "Tmpfs": {"/run": "", "/var/lib/containerd": "", "/tmp": "exec"},
        },
    }
    outer = docker.create(OUTER, config)
    docker.start(OUTER)
    if not processes.wait_until(lambda: _ctr(node, "version", check=False), 30, 0.2):
        raise LabError(
            f"the inner containerd does not serve: {node.clients.docker_cli('logs', OUTER)}"
        )
    _ctr(node, "images", "import", "/img/busybox.tar")
    _ctr(node, "run", "-d", "--null-io", IMAGE, INNER, *seeds.SLEEP)
    outer_pid = docker.inspect(OUTER)["State"]["Pid"]
    return {
        "outer_id": outer,
        "outer_pid": outer_pid,
        "inner_id": INNER,
        "inner_pid": _inner_pid(node, outer_pid),
        "socket": f"/proc/{outer_pid}/root/run/containerd/containerd.sock",
    }


def _ctr(node: "Node", *arguments: str, check: bool = True) -> str:
    socket_path = f"unix://{node.layout.sockets['docker']}"
    return node.clients.run(
        "docker", "-H", socket_path, "exec", OUTER, "ctr", *arguments, check=check
    )


def _inner_pid(node: "Node", outer_pid: int) -> int:
    """The inner init as the host numbers it: the sleeper whose parent is the inner shim."""
    for stat in processes.with_descendants([outer_pid]).values():
        parent = processes.stat_of(stat.parent)
        if stat.comm == "sleep" and parent and parent.comm.startswith("containerd-shim"):
            return stat.pid
    raise LabError("the inner container has no process")
