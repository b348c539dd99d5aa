"""Fills a node with many running containers quickly."""

import concurrent.futures
import itertools
from typing import TYPE_CHECKING

from tests.lab import seed as seeds

if TYPE_CHECKING:
    from tests.lab.node import Node

_WORKERS = 4
_SHARES = (("moby", 15), ("default", 9), ("k8s.io", 6))


def split(count: int) -> dict[str, int]:
    """How many containers each namespace gets; together `count`."""
    total = sum(share for _, share in _SHARES)
    parts = {name: count * share // total for name, share in _SHARES}
    for name in itertools.islice(itertools.cycle(parts), count - sum(parts.values())):
        parts[name] += 1
    return parts


def fill(node: "Node", count: int) -> None:
    """Start them, several at a time; each has a shim of its own."""
    parts = split(count)
    node.wait_ready("docker")
    if parts["moby"]:
        with open(node.layout.path("img/busybox.tar"), "rb") as file:
            node.clients.docker.call("POST", "/images/load", file.read())
    for namespace in ("default", "k8s.io"):
        if parts[namespace]:
            seeds.import_images(node, namespace)
    jobs = [(namespace, f"many-{i}") for namespace, part in parts.items() for i in range(part)]
    with concurrent.futures.ThreadPoolExecutor(_WORKERS) as pool:
        for done in [pool.submit(_run, node, *job) for job in jobs]:
            done.result()


def _run(node: "Node", namespace: str, name: str) -> None:
    if namespace != "moby":
        seeds.run_ctr(node, name, *seeds.SLEEP, namespace=namespace)
        return
    config = {
        "Image": seeds.DOCKER_IMAGE,
        "Cmd": list(seeds.SLEEP),
        "Labels": {"rtlab": node.name},
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
    }
    node.clients.docker.start(node.clients.docker.create(name, config))
