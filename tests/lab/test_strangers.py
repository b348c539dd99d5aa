"""Processes that pretend to be daemons and shims: nobody calls them, and no row listens to them."""

import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import asking, conftest
from tests.lab.node import Node
from tests.lab.strangers import AS_USER, USER, Strangers

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

VERBS = (asking.EVERYTHING, ("tree",), ("sources",))
KINDS = ("dockerd", "containerd", "containerd-shim-runc-v2", "conmon")

ROOTLESS = ("rootless", ("unshare", "-U", "-r"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Scene:
    """A node before and after the strangers came."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.victim = node.entry("d-run")
        self.other = node.entry("t-run", "default")
        self.bundle = node.layout.path(
            f"ctrd/run/io.containerd.runtime.v2.task/moby/{self.victim['id']}"
        )
        self.before = self.stable()
        self.sources_before = self.sources()
        self.strangers = Strangers(node)
        self.pids: set[int] = set()
        self.users: list[tuple[str, tuple[str, ...]]] = [("user", ())]
        probe = subprocess.run([*AS_USER, *ROOTLESS[1], "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            self.users.append(ROOTLESS)

    def stable(self) -> dict[str, dict[str, Any]]:
        """Rows by key, without those that change by themselves."""
        restless = {entry["id"] for entry in self.node.population() if entry["restless"]}
        return {row["key"]: row for row in asking.rows(self.node) if row["id"] not in restless}

    def sources(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = asking.document("sources")["sources"]
        return {
            (source["kind"], source["endpoint"]): source
            for source in found
            if self.node.layout.dir in source["endpoint"] and "strangers" not in source["endpoint"]
        }

    def arguments(self, kind: str, address: str, port: int) -> list[str]:
        """What each kind would say if it were the lab's own."""
        layout, paths = self.node.layout, self.node.layout.paths
        if kind == "dockerd":
            own = f"unix://{layout.sockets['docker']}"
            hosts = ["-H", f"tcp://127.0.0.1:{port}", "-H", f"unix://{address}", "-H", own]
            roots = ["--data-root", paths["docker_data"], "--exec-root", paths["docker_exec"]]
            return [kind, *hosts, *roots, "--containerd", layout.sockets["containerd"]]
        if kind == "containerd":
            roots = ["--root", paths["containerd_root"], "--state", paths["containerd_state"]]
            return [kind, "--address", address, *roots]
        if kind == "conmon":
            who = ["-c", self.victim["id"], "-u", self.victim["id"], "-n", "d-run"]
            store = ["--exit-command-arg", "--root", "--exit-command-arg", paths["podman_root"]]
            return [kind, "--api-version", "1", *who, "-r", "/usr/bin/runc", *store]
        names = ["-namespace", "moby", "-id", self.victim["id"]]
        return [kind, *names, "-address", layout.sockets["containerd"]]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker", "podman", "runc")) as node:
        scene = Scene(node)
        try:
            bring(scene)
            yield scene
        finally:
            scene.strangers.end()


def bring(scene: Scene) -> None:
    strangers = scene.strangers
    for kind in KINDS:
        for mode, host in (("own", {}), ("pid", {"PidMode": "host"})):
            name = f"x-{kind}-{mode}"
            address, port = os.path.join(strangers.folder, f"{name}.sock"), free_port()
            listens = [address, str(port)] if kind == "dockerd" else [address]
            pid = strangers.in_container(
                name,
                scene.arguments(kind, address, port),
                listens,
                host=host,
                directory=scene.bundle if "shim" in kind else "/",
                links={"/run/docker.sock": "/host", "/run/containerd.sock": "/host"},
            )
            scene.pids.add(pid)
        for mode, within in scene.users:
            name = f"x-{kind}-{mode}"
            address, port = os.path.join(strangers.folder, f"{name}.sock"), free_port()
            listens = [address, str(port)] if kind == "dockerd" else [address]
            words = scene.arguments(kind, address, port)
            scene.pids.add(strangers.on_host(name, words, listens, within=within))
    link = os.path.join(strangers.folder, "docker.sock")
    os.symlink(scene.node.layout.sockets["docker"], link)
    os.lchown(link, USER, USER)
    words = ["dockerd", "-H", f"unix://{link}", "--data-root", f"{strangers.folder}/data"]
    scene.pids.add(strangers.on_host("x-link", words, [f"{strangers.folder}/other.sock"]))


def test_strangers_are_not_connected_to(scene: Scene) -> None:
    pids = set()
    for verb in VERBS:
        process = subprocess.Popen(
            [asking.RTSCOPE, *verb],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        assert "Traceback" not in stderr
        pids.add(process.pid)
    called = scene.strangers.called_by(pids)
    # A user's engine with a user namespace of its own is rootless, and asked as what it is.
    assert [call for call in called if f"-{ROOTLESS[0]} " not in call] == []


def test_strangers_change_no_row(scene: Scene) -> None:
    after = scene.stable()
    changed = {
        key: {name: (row[name], after.get(key, {}).get(name)) for name in row
              if row[name] != after.get(key, {}).get(name)}
        for key, row in scene.before.items()
        if after.get(key) != row
    }  # fmt: skip
    assert changed == {}


def test_strangers_add_their_own_containers_and_nothing_else(scene: Scene) -> None:
    new = [row for key, row in scene.stable().items() if key not in scene.before]
    expected = sorted(f"x-{kind}-{mode}" for kind in KINDS for mode in ("own", "pid"))
    assert sorted(row["name"] for row in new) == expected
    assert {row["engine"] for row in new} == {"docker"}
    assert {row["verdict"] for row in new} == {"ok"}


def test_strangers_merge_into_no_container(scene: Scene) -> None:
    rows = {row["id"]: row for row in scene.stable().values()}
    victim = rows[scene.victim["id"]]
    assert victim["shim_pid"] == scene.victim["shim_pid"]
    assert victim["pid"] == scene.victim["pid"]
    assert victim["uid"] is None
    assert victim["nested_in"] is None
    for row in rows.values():
        claimed = {c["pid"] for layer in row["layers"].values() for c in layer["claims"]}
        foreign = claimed & scene.pids
        assert not foreign or row["name"].startswith("x-"), (row["name"], foreign)


def test_strangers_do_not_stand_for_the_nodes_daemons(scene: Scene) -> None:
    after = scene.sources()
    for key, source in scene.sources_before.items():
        assert after[key]["pid"] == source["pid"], key
        assert after[key]["state"] == source["state"], key
    assert {key for key in after if key not in scene.sources_before} == set()
