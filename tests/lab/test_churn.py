"""Containers that come, go, and change their names while they are listed."""

import collections
import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.lab import asking, conftest
from tests.lab import seed as seeds
from tests.lab.layout import IMAGE, LabError
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SHORT_S, LONG_S = 20.0, 60.0


@pytest.fixture(scope="module")
def busy() -> Iterator[Node]:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker", "podman", "runc")) as node:
        yield node


class Churn:
    """Threads that change the node until they are told to end; the first error is kept."""

    def __init__(self, node: Node, *steps: Callable[[Node, int], None]) -> None:
        self._node = node
        self._is_ending = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(step,)) for step in steps]
        self.error: Exception | None = None
        self.rounds = 0

    def __enter__(self) -> "Churn":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        for thread in self._threads:
            thread.join(120)

    def _repeat(self, step: Callable[[Node, int], None]) -> None:
        for number in itertools.count():
            if self._is_ending.is_set():
                return
            try:
                step(self._node, number)
            except LabError as error:
                self.error = self.error or error
                return
            self.rounds += 1


def rename(node: Node, number: int) -> None:
    """One that runs changes its name again and again."""
    call = node.clients.docker.call
    identifier = node.clients.docker.inspect("d-exec" if number == 0 else f"renamed-{number - 1}")
    call("POST", f"/containers/{identifier['Id']}/rename", name=f"renamed-{number}")


def short_lived(node: Node, number: int) -> None:
    """One that ends by itself, then is removed."""
    docker = node.clients.docker
    config = {
        "Image": seeds.DOCKER_IMAGE,
        "Cmd": ["sh", "-c", "sleep 0.2"],
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
    }
    docker.create(f"short-{number}", config)
    docker.start(f"short-{number}")
    docker.call("POST", f"/containers/short-{number}/wait")
    docker.remove(f"short-{number}")


def killed(node: Node, number: int) -> None:
    """One of ctr's that is killed and deleted while it runs."""
    name = f"churn-{number}"
    seeds.run_ctr(node, name, *seeds.SLEEP)
    node.clients.ctr("tasks", "kill", "-s", "KILL", name)
    node.clients.ctr("tasks", "delete", "-f", name)
    node.clients.ctr("containers", "delete", name)


def of_podman(node: Node, number: int) -> None:
    parent = ("--cgroup-parent", f"{node.layout.cgroup}/podman")
    node.clients.podman("run", "--rm", "-d", *parent, "--name", f"pod-{number}", IMAGE, "true")


def churn(node: Node, seconds: float) -> None:
    calm = {
        (entry["engine"], entry["id"])
        for entry in node.population()
        if not entry["restless"] and entry["pid"] is not None
    }
    listings = 0
    with Churn(node, rename, short_lived, killed, of_podman) as work:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done = asking.run(
                *asking.EVERYTHING, *asking.PATIENT, "-o", "json", environ=asking.configured(node)
            )
            assert done.returncode == 0, done.stderr
            assert "Traceback" not in done.stderr
            rows = asking.of_node(node, json.loads(done.stdout)["containers"])
            listings += 1
            assert_each_once(rows)
            assert calm <= {(row["engine"], row["id"]) for row in rows}
            for view in (("tree",), ("sources",)):
                drawn = asking.run(*view, *asking.PATIENT)
                assert drawn.returncode == 0, drawn.stderr
                assert "Traceback" not in drawn.stderr
    assert work.error is None, work.error
    assert work.rounds >= 4
    assert listings >= 1
    assert_each_once(asking.rows(node))


def assert_each_once(rows: list[dict[str, object]]) -> None:
    """No id twice in one store, no living init in two rows."""
    ids = collections.Counter((row["origin"], row["namespace"], row["id"]) for row in rows)
    assert [key for key, count in ids.items() if count > 1] == []
    pids = collections.Counter(row["pid"] for row in rows if row["pid"] is not None)
    assert [pid for pid, count in pids.items() if count > 1] == []
    hex_ids = collections.Counter(str(row["id"]) for row in rows if len(str(row["id"])) == 64)
    assert [key for key, count in hex_ids.items() if count > 1] == []


def test_churn_neither_crashes_nor_doubles(busy: Node) -> None:
    churn(busy, SHORT_S)


@pytest.mark.long
def test_churn_for_a_minute() -> None:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker", "podman", "runc")) as node:
        churn(node, LONG_S)


def test_a_watch_beside_churn_shows_no_error(busy: Node) -> None:
    with Churn(busy, short_lived, killed):
        done = watch(busy, 8.0)
    assert "Traceback" not in done
    assert "internal error" not in done


def watch(node: Node, seconds: float) -> str:
    """What `ps -w` says on stderr in that time."""
    process = subprocess.Popen(
        [asking.RTSCOPE, "ps", "-a", "-w", "--interval", "1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.5)
            assert process.poll() is None
    finally:
        process.terminate()
        _, stderr = process.communicate(timeout=20)
    return stderr
