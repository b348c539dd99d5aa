"""The engines' own clients, as the lab and its tests use them. Nothing of rtscope is in here."""

import http.client
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from tests.lab import processes
from tests.lab.layout import LabError, Layout

CALL_S = 90.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Docker:
    """dockerd over its API: an order of magnitude cheaper than a client process a call."""

    def __init__(self, path: str) -> None:
        self._path = path

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | bytes | None = None,
        **query: str,
    ) -> Any:
        """The answer's JSON, or its text; LabError for a status of 400 and more."""
        connection = _UnixConnection(self._path, CALL_S)
        target = path + (f"?{urlencode(query)}" if query else "")
        if isinstance(body, bytes):
            data, kind = body, "application/x-tar"
        else:
            data, kind = json.dumps(body or {}).encode(), "application/json"
        try:
            connection.request(method, target, data, {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise LabError(f"docker {method} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise LabError(f"docker {method} {path}: {answer.status} {text.strip()}")
        try:
            return json.loads(text)
        except ValueError:
            return text

    def create(self, name: str, config: Mapping[str, object]) -> str:
        """The new container's id."""
        identifier: str = self.call("POST", "/containers/create", config, name=name)["Id"]
        return identifier

    def start(self, name: str) -> None:
        self.call("POST", f"/containers/{quote(name)}/start")

    def inspect(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = self.call("GET", f"/containers/{quote(name)}/json")
        return document

    def remove(self, name: str) -> None:
        self.call("DELETE", f"/containers/{quote(name)}", force="1")


class Clients:
    """Runs clients as members of the lab's cgroup, so that what they leave behind is found."""

    def __init__(self, layout: Layout, environ: Mapping[str, str]) -> None:
        self._layout = layout
        self._environ = dict(environ)
        self.docker = Docker(layout.sockets["docker"])

    def run(
        self, *command: str, check: bool = True, environ: Mapping[str, str] | None = None
    ) -> str:
        """Standard output. A container may keep the output open, so it goes to a file."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(
                processes.in_cgroup(self._layout.cgroup, command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**self._environ, **(environ or {})},
                timeout=CALL_S,
                check=False,
            )
            out.seek(0)
            err.seek(0)
            text, complaint = out.read().decode(errors="replace"), err.read()
        if check and done.returncode:
            words = " ".join(command)[:300]
            why = complaint.decode(errors="replace").strip()[-1500:]
            raise LabError(f"{words}: exit {done.returncode}: {why}")
        return text

    def ctr(self, *arguments: str, namespace: str = "default", address: str = "") -> str:
        socket_path = address or self._layout.sockets["containerd"]
        return self.run("ctr", "-a", socket_path, "-n", namespace, *arguments)

    def docker_cli(self, *arguments: str) -> str:
        return self.run("docker", "-H", f"unix://{self._layout.sockets['docker']}", *arguments)

    def podman(self, *arguments: str, runtime: str = "runc", check: bool = True) -> str:
        """`runtime` chooses the OCI root; a container is of the runtime that made it."""
        environ = {"RTSCOPE_LAB_RUNTIME": runtime}
        return self.run(self._layout.paths["podman_cmd"], *arguments, check=check, environ=environ)

    def oci(self, runtime: str, *arguments: str, check: bool = True) -> str:
        """A bare runtime on its private root."""
        root = self._layout.paths[f"{runtime}_root"]
        return self.run(*self.oci_binary(runtime), "--root", root, *arguments, check=check)

    def oci_binary(self, runtime: str) -> Sequence[str]:
        if runtime in ("crun", "runsc"):
            return (self._layout.path(f"bin/{runtime}"),)
        if runtime == "youki":
            return (os.path.realpath(self._layout.path("bin/youki")),)
        return (runtime,)
