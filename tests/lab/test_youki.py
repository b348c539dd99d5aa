"""youki below every engine that can use it, and bare: the right runtime, in every state."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import asking, conftest, engines
from tests.lab import seed as seeds
from tests.lab.layout import IMAGE
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

EXPECTED = {
    ("docker", "yd-run"): "running",
    ("docker", "yd-paused"): "paused",
    ("docker", "yd-exited"): "stopped",
    ("docker", "yd-created"): "created",
    ("containerd", "yt-run"): "running",
    ("containerd", "yt-paused"): "paused",
    ("podman", "yp-run"): "running",
    ("oci", "y-run"): "running",
    ("oci", "y-paused"): "paused",
    ("oci", "y-created"): "created",
    ("oci", "y-stopped"): "stopped",
}


def of_docker(node: Node) -> None:
    docker = node.clients.docker
    for name, command in (
        ("yd-run", seeds.SLEEP),
        ("yd-paused", seeds.SLEEP),
        ("yd-exited", ("sh", "-c", "exit 3")),
        ("yd-created", ("true",)),
    ):
        host = {"NetworkMode": "none", "Runtime": "youki"}
        docker.create(name, {"Image": seeds.DOCKER_IMAGE, "Cmd": list(command), "HostConfig": host})
        if name != "yd-created":
            docker.start(name)
    docker.call("POST", "/containers/yd-paused/pause")
    docker.call("POST", "/containers/yd-exited/wait")


def of_ctr(node: Node) -> None:
    flags = ("--runc-binary", *node.clients.oci_binary("youki"))
    for name in ("yt-run", "yt-paused"):
        seeds.run_ctr(node, name, *seeds.SLEEP, flags=flags)
    node.clients.ctr("tasks", "pause", "yt-paused")


def of_podman(node: Node) -> None:
    parent = ("--cgroup-parent", f"{node.layout.cgroup}/podman")
    runtime = node.clients.oci_binary("youki")[0]
    flags = ("run", "-d", *parent, "--name", "yp-run")
    node.clients.podman("--runtime", runtime, *flags, IMAGE, *seeds.SLEEP)


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[tuple[str, str], dict[str, Any]]]:
    conftest.require_lab("forky")
    if engines.youki() is None:
        pytest.skip("youki is not built: python -m tests.lab.prepare --youki")
    with Node(engines=("containerd", "docker", "podman", "youki")) as node:
        of_docker(node)
        of_ctr(node)
        of_podman(node)
        yield {(row["engine"], row["name"]): row for row in asking.rows(node)}


@pytest.mark.parametrize("key", EXPECTED, ids=" ".join)
def test_youki_is_named_in_every_state(
    rows: dict[tuple[str, str], dict[str, Any]], key: tuple[str, str]
) -> None:
    row = rows[key]
    assert row["state"] == EXPECTED[key]
    assert row["verdict"] == "ok", row["problem"]
    if row["pid"] is not None or key[0] == "oci":
        assert row["oci_runtime"] == "youki"
    assert (row["pid"] is not None) == (EXPECTED[key] != "stopped" and key[1] != "yd-created")
