"""Processes that only pretend: named like daemons and shims, listening where nobody should call.

In a container of docker's, or on the host as a user without rights. What is connected to their
sockets is written to a log, so that a test can tell that nothing was.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence

from tests.lab import packages, processes
from tests.lab import seed as seeds
from tests.lab.layout import LabError
from tests.lab.node import Node

# The system's own, which a container sees through the bound folders.
PYTHON = "/usr/bin/python3"
USER = 65534
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
_SYSTEM = ("/usr", "/lib", "/lib64")
# An interpreter under another name; it writes the arguments of what it plays over its own.
# Source: proc_pid_stat(5), fields 48 and 49, arg_start and arg_end.
_SCRIPT = """
import json, os, select, socket, struct
name, log, ready, addresses, arguments = json.loads(os.environ["STRANGER"])
wanted = b"".join(os.fsencode(word) + bytes(1) for word in arguments)
with open("/proc/self/stat") as file:
    fields = file.read().rpartition(")")[2].split()
start, end = int(fields[45]), int(fields[46])
assert end - start == len(wanted), (end - start, len(wanted))
with open("/proc/self/mem", "r+b", buffering=0) as memory:
    memory.seek(start)
    memory.write(wanted)
listeners = {}
for address in addresses:
    if address.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        os.chmod(address, 0o777)
    else:
        listener = socket.create_server(("127.0.0.1", int(address)))
    listener.listen(16)
    listeners[listener.fileno()] = (listener, address)
open(ready, "w").close()
while True:
    for handle in select.select(list(listeners), [], [])[0]:
        listener, address = listeners[handle]
        caller, _ = listener.accept()
        pid = 0
        if address.startswith("/"):
            form = "3i"
            size = struct.calcsize(form)
            raw = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            pid = struct.unpack(form, raw)[0]
        caller.close()
        with open(log, "a") as file:
            file.write(f"{name} {address} {pid}\\n")
"""


class Strangers:
    """The pretenders of one node, all below one folder of the lab."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.folder = node.layout.path("strangers")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o777)
        self.log = os.path.join(self.folder, "accepted")
        with open(self.log, "w"):
            os.chmod(self.log, 0o666)
        self._children: list[subprocess.Popen[bytes]] = []
        self._script = os.path.join(self.folder, "s")
        with open(self._script, "w") as file:
            file.write(_SCRIPT)

    def called_by(self, pids: Collection[int]) -> list[str]:
        """Which strangers those processes connected to, and at which address.

        What connects from another pid namespace, or over TCP, is of unknown origin and counts.
        Source: unix(7), SO_PEERCRED.
        """
        with open(self.log) as file:
            calls = [line.split() for line in file.read().splitlines()]
        return [f"{name} {address}" for name, address, pid in calls if int(pid) in {0, *pids}]

    def _play(
        self, name: str, arguments: Sequence[str], addresses: Sequence[str]
    ) -> tuple[list[str], dict[str, str]]:
        """Command and environment; the command is exactly as long as what it becomes."""
        path = os.path.join(self.folder, "bin", arguments[0])
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            # A copy: /proc/PID/exe and comm then have the name, too.
            shutil.copy2(os.path.realpath(PYTHON), path)
        command = [arguments[0], self._script]
        space = sum(len(word) + 1 for word in arguments) - sum(len(word) + 1 for word in command)
        assert space > 0, "the arguments are shorter than the script's path"
        ready = os.path.join(self.folder, f"{name}.ready")
        environ = {
            "STRANGER": json.dumps((name, self.log, ready, addresses, arguments)),
            "PYTHONHOME": "/usr",
            "PATH": f"{self.folder}/bin:{packages.SYSTEM_PATH}",
        }
        return [*command, "x" * (space - 1)], environ

    def _wait(self, name: str) -> None:
        ready = os.path.join(self.folder, f"{name}.ready")
        if not processes.wait_until(lambda: os.path.exists(ready), 30):
            raise LabError(f"the stranger {name} does not listen")

    def in_container(
        self,
        name: str,
        arguments: Sequence[str],
        addresses: Sequence[str],
        *,
        host: Mapping[str, object] | None = None,
        directory: str = "/",
        links: Mapping[str, str] | None = None,
    ) -> int:
        """A container of docker's whose first process has those arguments; its pid."""
        command, environ = self._play(name, arguments, addresses)
        binds = [f"{path}:{path}:ro" for path in (*_SYSTEM, self.node.layout.path("ctrd/run"))]
        binds += [f"{self.folder}:{self.folder}", f"{self.node.layout.sockets['docker']}:/host"]
        script = "".join(f"ln -s {to} {at}; " for at, to in (links or {}).items())
        docker = self.node.clients.docker
        config = {
            "Image": seeds.DOCKER_IMAGE,
            "Cmd": ["sh", "-c", f'{script}cd {directory}; exec "$@"', "sh", *command],
            "Env": [f"{key}={value}" for key, value in environ.items()],
            "HostConfig": {
                "NetworkMode": "host",
                "Privileged": True,
                "Binds": binds,
                "Tmpfs": {"/run": ""},
                **(host or {}),
            },
        }
        docker.create(name, config)
        docker.start(name)
        self._wait(name)
        return int(docker.inspect(name)["State"]["Pid"])

    def on_host(
        self,
        name: str,
        arguments: Sequence[str],
        addresses: Sequence[str],
        *,
        within: Sequence[str] = (),
    ) -> int:
        """A user's process with those arguments, below a command `within` if given; its pid."""
        command, environ = self._play(name, arguments, addresses)
        user = (*AS_USER, *within)
        started = subprocess.Popen(
            processes.in_cgroup(self.node.layout.cgroup, ("setsid", *user, *command)),
            env=environ,
            stdin=subprocess.DEVNULL,
        )
        self._children.append(started)
        self._wait(name)
        return started.pid

    def end(self) -> None:
        """End those on the host; the containers end with their node."""
        for child in self._children:
            child.kill()
            child.wait()
