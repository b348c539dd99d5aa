"""No planted secret is in what observe writes, and the shipped recording says that it is one."""

import gzip
import os
from collections.abc import Iterator

import pytest

from rtscope.cli.reading import DEMO_FILE
from tests.lab import asking, conftest, record, secrets
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def planted() -> Iterator[Node]:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker"), seed=True) as node:
        record.plant(node)
        yield node


def test_thirty_secrets_are_planted(planted: Node) -> None:
    assert secrets.COUNT == 30
    info = planted.clients.docker.inspect("d-secrets")
    assert secrets.MARK in str(info["Config"]["Labels"])
    assert secrets.MARK in str(info["Config"]["Env"])


def test_observe_keeps_none_of_them(planted: Node) -> None:
    done = asking.run("observe", "-")
    assert done.returncode == 0, done.stderr
    assert '"d-secrets"' in done.stdout
    assert '"t-secrets"' in done.stdout
    assert secrets.MARK.lower() not in done.stdout.lower()


def test_observe_keeps_them_where_it_is_told_to(planted: Node) -> None:
    done = asking.run("observe", "-", "--keep-secrets")
    assert done.returncode == 0, done.stderr
    assert secrets.MARK in done.stdout


def test_demo_holds_none_of_them() -> None:
    assert os.path.getsize(DEMO_FILE) < record.LIMIT_BYTES
    with gzip.open(DEMO_FILE, "rt", encoding="utf-8") as file:
        text = file.read()
    assert secrets.MARK.lower() not in text.lower()
    assert "hunter2" not in text
    assert '"d-secrets"' in text


@pytest.mark.parametrize("verb", ["ps", "tree", "sources"])
def test_demo_is_marked_as_a_recording_of_its_time(verb: str) -> None:
    done = asking.run(verb, "--demo")
    assert done.returncode == 0, done.stderr
    document = asking.document(verb, "--demo")
    assert document["node"] == "demo-node"
    assert document["recorded_at"] is not None
    assert document["recorded_at"][:10] in done.stderr
    assert "RECORDING" in done.stderr
