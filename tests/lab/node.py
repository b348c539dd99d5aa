"""A node of one's own: daemons, clients and a known population under one folder and one cgroup."""

import concurrent.futures
import contextlib
import functools
import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from tests.lab import (
    configuration,
    cri,
    crowd,
    engines,
    image,
    nested,
    packages,
    population,
    processes,
    teardown,
)
from tests.lab import seed as seeds
from tests.lab.clients import Clients
from tests.lab.daemons import Daemons
from tests.lab.layout import ENGINES, GENERATIONS, IMAGE, PAUSE_IMAGE, LabError, Layout
from tests.lab.population import Entry, Shims

_NEEDS = {"cri": ("containerd",), "docker": ("containerd",)}
_DAEMON_BINARIES = {
    "containerd": ("containerd", "ctr"),
    "docker": ("dockerd", "docker"),
    "podman": ("podman", "conmon"),
    "runc": ("runc",),
    "crun": ("crun", "unshare"),
    "runsc": ("runsc",),
}


class Node:
    """One lab. Starting is idempotent per name: a half-made lab of that name is taken down first.

    Attributes:
        name: Also of the folder below ROOT and of the cgroups (`/rtlab-NAME`).
        generation: `forky`, `trixie` (unpacked engines) or `host` (the machine's own).
        clients: The engines' own clients: `docker` (API), `ctr`, `podman`, `oci`, `docker_cli`.
        daemons: Processes by name: `containerd`, `docker`, `podman`, `containerd2`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        generation: str = "forky",
        engines: Iterable[str] = ENGINES,
        seed: bool = True,
        containerd_image_store: bool = False,
        owned: bool = True,
    ) -> None:
        self.name = name or f"n{secrets.token_hex(4)}"
        self.layout = Layout(self.name)
        if generation not in GENERATIONS:
            raise LabError(f"unknown generation {generation!r}: one of {', '.join(GENERATIONS)}")
        self.generation = generation
        self.engines = _closure(engines)
        self._seed = seed
        self._containerd_image_store = containerd_image_store
        self._owned = owned
        self._is_up = False
        self.up_seconds = 0.0
        folder = _bin_of(generation)
        self.path = f"{folder}:{packages.SYSTEM_PATH}" if folder else packages.SYSTEM_PATH
        self.environ = {
            "PATH": self.path,
            "HOME": self.layout.path("home"),
            "DOCKER_CONFIG": self.layout.path("home/.docker"),
            "DOCKER_TMPDIR": self.layout.path("tmp"),
            "TMPDIR": self.layout.path("tmp"),
            "LANG": "C.UTF-8",
        }
        self.clients = Clients(self.layout, self.environ)
        self.daemons = Daemons(self.layout, self.environ)

    @classmethod
    def load(cls, name: str) -> "Node":
        """A lab that is up already, of this or of another process."""
        try:
            with open(Layout(name).path("lab.json")) as file:
                document = json.load(file)
        except (OSError, ValueError) as error:
            raise LabError(f"no lab {name!r} is up: {error}") from error
        node = cls(name, generation=document["generation"], engines=document["engines"])
        node.up_seconds = document["up_seconds"]
        node._is_up = True
        return node

    def __enter__(self) -> Self:
        return self if self._is_up else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # ------------------------------------------------------------ facts
    def has(self, engine: str) -> bool:
        """Whether the lab runs that engine, and the machine has it."""
        if engine == "youki" and engines.youki() is None:
            return False
        return engine in self.engines

    def find(self, binary: str) -> str:
        """The binary of this lab's generation."""
        found = packages.find(binary, self.path)
        if found is None:
            raise LabError(f"{binary} is not installed: python -m tests.lab.prepare")
        return found

    @functools.cached_property
    def containerd_release(self) -> tuple[int, int]:
        text = self._version("containerd")
        found = re.search(r"\bv?(\d+)\.(\d+)\.\d+", text)
        if found is None:
            raise LabError(f"cannot read containerd's version: {text!r}")
        return int(found[1]), int(found[2])

    def _version(self, binary: str) -> str:
        done = subprocess.run(
            [self.find(binary), "--version"],
            capture_output=True,
            text=True,
            env=self.environ,
            timeout=30,
            check=False,
        )
        return done.stdout.split("\n")[0]

    def versions(self) -> dict[str, str]:
        names = {n for e in self.engines for n in _DAEMON_BINARIES.get(e, ())} - {"unshare"}
        return {name: self._version(name) for name in sorted(names)}

    # ------------------------------------------------------------ up and down
    def start(self) -> Self:
        """Daemons up and serving, population as seeded; takes itself down when that fails."""
        start = time.monotonic()
        self._check_machine()
        if os.path.exists(self.layout.dir) or processes.members(self.layout.cgroup):
            teardown.take_down(self.name)
        try:
            self._make_folders()
            self._start_daemons()
            if self._seed:
                self._populate()
        except BaseException:
            teardown.take_down(self.name)
            raise
        self.up_seconds = round(time.monotonic() - start, 2)
        self._is_up = True
        self._save()
        return self

    def stop(self) -> None:
        """Remove everything; LabError names what is left."""
        left = teardown.take_down(self.name)
        self._is_up = False
        if left:
            raise LabError(f"lab {self.name} left: {', '.join(left)}")

    def _check_machine(self) -> None:
        if os.geteuid() != 0:
            raise LabError("a lab needs root")
        missing = [n for e in self.engines for n in _DAEMON_BINARIES.get(e, ())]
        missing = sorted({n for n in missing if packages.find(n, self.path) is None})
        if missing:
            raise LabError(f"not installed: {' '.join(missing)}: python -m tests.lab.prepare")
        if self.generation != "host" and not engines.is_ready(self.generation):
            raise LabError(f"{self.generation} is not unpacked: python -m tests.lab.prepare")

    def _make_folders(self) -> None:
        for folder in (
            "bin",
            "ctrd",
            "docker",
            "home",
            "img",
            "log",
            "oci",
            "pid",
            "podman",
            "tmp",
        ):
            os.makedirs(self.layout.path(folder))
        owner = processes.stat_of(os.getpid()) if self._owned else None
        with open(self.layout.path("owner.json"), "w") as file:
            document = {"pid": owner.pid, "start_ticks": owner.start_ticks} if owner else None
            json.dump(document, file)
        os.makedirs(self.environ["DOCKER_CONFIG"])
        with open(os.path.join(self.environ["DOCKER_CONFIG"], "config.json"), "w") as file:
            file.write("{}")
        processes.create_cgroup(self.layout.cgroup)
        layer = image.layer()
        path = self.layout.path
        image.write_archive(path("img/busybox.tar"), IMAGE, layer_tar=layer)
        image.write_archive(
            path("img/pause.tar"), PAUSE_IMAGE, layer_tar=layer, entrypoint=image.PAUSE
        )
        image.unpack(layer, path("oci/rootfs"))
        binaries = self._binaries()
        configuration.write_wrappers(self.layout, binaries)
        configuration.write_podman(self.layout)
        configuration.write_docker(self.layout, binaries, self._containerd_image_store)
        if binaries.youki:
            os.symlink(binaries.youki, path("bin/youki"))

    def _binaries(self) -> configuration.Binaries:
        def path_of(name: str) -> str:
            return os.path.realpath(packages.find(name, self.path) or f"/nonexistent/{name}")

        return configuration.Binaries(
            crun=path_of("crun"),
            runsc=path_of("runsc"),
            podman=path_of("podman"),
            youki=engines.youki(),
        )

    def _start_daemons(self) -> None:
        if self.has("containerd"):
            configuration.write_containerd(self.layout, *self.containerd_release)
            config = self.layout.paths["containerd_config"]
            self.daemons.start("containerd", ["containerd", "-c", config])
        if self.has("podman"):
            socket_path = f"unix://{self.layout.sockets['podman']}"
            command = [self.layout.paths["podman_cmd"], "system", "service", "--time=0"]
            self.daemons.start("podman", [*command, socket_path])
        if self.has("containerd"):
            self.wait_ready("containerd")
        if self.has("docker"):
            self.daemons.start("docker", configuration.docker_arguments(self.layout))

    def wait_ready(self, name: str) -> None:
        """Until that daemon serves: after a start, a restart, a SIGCONT."""
        self.daemons.wait_ready(name, self._probe(name))

    def _probe(self, name: str) -> Callable[[], object]:
        if name == "docker":
            return lambda: self.clients.docker.call("GET", "/_ping")
        if name == "podman":
            podman_socket = self.layout.sockets["podman"]
            return lambda: type(self.clients.docker)(podman_socket).call("GET", "/_ping")
        address = self.layout.path("c2.sock") if name == "containerd2" else ""
        return lambda: self._containerd_answers(address)

    def _containerd_answers(self, address: str) -> bool:
        path = address or self.layout.sockets["containerd"]
        if not os.path.exists(path):
            return False
        self.clients.ctr("namespaces", "list", address=address)
        if not address and self.has("cri"):
            with cri.Cri(path) as server:
                server.version()
        return True

    def _populate(self) -> None:
        """Fill the engines side by side; the first failure is raised when all have ended."""
        work: list[Callable[[Node], None]] = [seeds.bare]
        work += [fill for engine, fill in seeds.ENGINES.items() if self.has(engine)]
        with concurrent.futures.ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(step, self) for step in work]:
                done.result()

    def _save(self) -> None:
        with open(self.layout.path("lab.json.new"), "w") as file:
            json.dump(self.describe(), file, indent=1)
        os.rename(self.layout.path("lab.json.new"), self.layout.path("lab.json"))

    # ------------------------------------------------------------ what is there
    def describe(self) -> dict[str, Any]:
        """JSON-able: names, sockets, paths, pids, versions, and the population as it is now."""
        paths = self.layout.paths
        return {
            "name": self.name,
            "dir": self.layout.dir,
            "generation": self.generation,
            "engines": list(self.engines),
            "cgroup": self.layout.cgroup,
            "up_seconds": self.up_seconds,
            "path": self.path,
            "environ": self.environ,
            "sockets": self.layout.sockets,
            "paths": paths,
            "runc_roots": [
                paths["docker_oci_root"],
                f"{paths['containerd_oci_root']}/default",
                f"{paths['containerd_oci_root']}/k8s.io",
            ],
            "pids": self.daemons.pids,
            "versions": self.versions(),
            "population": self.population(),
        }

    def population(self) -> list[Entry]:
        """One entry a container or sandbox; see `tests/lab/__init__.py` for the keys."""
        return population.everything(self, self.shims())

    def entry(self, seed: str, namespace: str | None = None) -> Entry:
        """The entry of that seed, as it is now."""
        for found in self.population():
            if found["seed"] == seed and namespace in (None, found["namespace"]):
                return found
        raise LabError(f"nothing of the lab is called {seed!r}")

    def processes(self) -> Mapping[int, processes.Stat]:
        """Every process of the lab."""
        return teardown.lab_processes(self.layout)

    def shims(self) -> Shims:
        return Shims(teardown.lab_processes(self.layout))

    def a_shim(self) -> int:
        """The pid of the shim of some running container."""
        known = self.shims().all()
        if not known:
            raise LabError("the lab has no shim")
        return known[min(known)]

    # ------------------------------------------------------------ changes
    def second_containerd(self) -> dict[str, str]:
        """Start a bare second containerd with a `t-run` in `default`; where its parts are."""
        config = configuration.write_second_containerd(self.layout, self.containerd_release[0])
        self.daemons.start("containerd2", ["containerd", "-c", config])
        self.wait_ready("containerd2")
        places = {
            "socket": self.layout.path("c2.sock"),
            "state": self.layout.path("ctrd2/run"),
            "root": self.layout.path("ctrd2/root"),
            "oci_root": self.layout.path("ctrd2/runc"),
        }
        seeds.second(self, places["socket"], places["oci_root"])
        return places

    def nested_engine(self) -> dict[str, Any]:
        """Start a containerd inside a container of docker's; what `nested.start` tells of it."""
        return nested.start(self)

    def kill_daemon(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a daemon and wait until it is gone."""
        self.daemons.signal(name, number)
        if not self.daemons.wait_gone(name):
            raise LabError(f"{name} does not end")

    def restart_daemon(self, name: str) -> None:
        """Start a daemon that was killed and wait until it serves."""
        if name == "docker":
            # The killed one may still be a zombie, which dockerd takes for a running daemon.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.layout.path("docker/docker.pid"))
        self.daemons.restart(name)
        self.wait_ready(name)


def _closure(wanted: Iterable[str]) -> tuple[str, ...]:
    names = set(wanted)
    unknown = sorted(names - set(ENGINES))
    if unknown:
        raise LabError(f"unknown engine {unknown[0]!r}: one of {', '.join(ENGINES)}")
    for name in tuple(names):
        names.update(_NEEDS.get(name, ()))
    return tuple(name for name in ENGINES if name in names)


def _bin_of(generation: str) -> str | None:
    return engines.bin_of(generation)


def many(count: int, name: str | None = None, **options: Any) -> Node:
    """A started node with that many running containers: docker, default, k8s.io as 15:9:6."""
    node = Node(name, engines=("containerd", "docker"), seed=False, **options).start()
    try:
        crowd.fill(node, count)
    except BaseException:
        node.stop()
        raise
    return node
