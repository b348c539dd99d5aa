"""Nodes for tests: started at first use, shared by the session, taken down at its end."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.lab import engines, packages, teardown
from tests.lab.node import Node


def why_no_lab(generation: str) -> str | None:
    """What stands in the way of a lab here; None when nothing does."""
    if os.geteuid() != 0:
        return "a lab needs root"
    missing = packages.missing_binaries()
    if missing:
        return f"not installed: {' '.join(missing)}"
    if generation != "host" and not engines.is_ready(generation):
        return f"{generation} is not unpacked"
    return None


def require_lab(generation: str = "forky") -> None:
    """Skip the test where there can be no lab; fail where one is required."""
    reason = why_no_lab(generation)
    if reason is None:
        return
    if os.environ.get("RTSCOPE_REQUIRE_LAB") == "1":
        pytest.fail(f"{reason}: python -m tests.lab.prepare --suites forky,trixie")
    pytest.skip(reason)


def _session_node(generation: str) -> Iterator[Node]:
    require_lab(generation)
    teardown.purge_abandoned()
    with Node(f"s{os.getpid()}-{generation}", generation=generation) as started:
        yield started


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The newest engines and the whole population."""
    yield from _session_node("forky")


@pytest.fixture(scope="session")
def node_trixie() -> Iterator[Node]:
    yield from _session_node("trixie")


@pytest.fixture(scope="session")
def node_host() -> Iterator[Node]:
    yield from _session_node("host")


@pytest.fixture(scope="session")
def lab_required() -> Callable[[str], None]:
    """For tests that make a node of their own: skips or fails where that cannot be."""
    return require_lab
