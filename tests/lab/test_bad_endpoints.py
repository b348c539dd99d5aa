"""Endpoints that answer nonsense, too much, or nothing: a gap with its reason, and no harm."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from tests.lab import asking, bad_servers, conftest
from tests.lab.bad_servers import Raw

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

HTTP_KINDS = ("docker", "podman")
GRPC_KINDS = ("containerd", "cri")
MEMORY_LIMIT_MB = 100
# The verb's own limit is 2.5 s; the rest is the start of Python on a loaded machine.
ENDS_WITHIN_S = 20.0
_MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
with open(sys.argv[1], "w") as file:
    json.dump([done.returncode, done.stdout, done.stderr, peak / 1024], file)
"""


class Answer:
    """What one run of rtscope said and took."""

    def __init__(self, code: int, stdout: str, stderr: str, peak_mb: float) -> None:
        self.code, self.stdout, self.stderr, self.peak_mb = code, stdout, stderr, peak_mb


def measured(*arguments: str) -> Answer:
    """Runs it below a small process: Linux counts what the parent of a process took as its own."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MEASURE, file.name, asking.RTSCOPE, *arguments],
            stdin=subprocess.DEVNULL,
            timeout=ENDS_WITHIN_S,
            check=True,
        )
        return Answer(*json.load(file))


@pytest.fixture
def folder() -> Iterator[str]:
    """Short, since the path of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="rts-bad-", dir="/tmp") as path:
        yield path


@pytest.fixture(autouse=True)
def required() -> None:
    conftest.require_lab("host")


def assert_is_a_gap(address: str, answer: Answer) -> dict[str, Any]:
    """A gap with a reason, named on stderr; the gap."""
    gaps = [gap for gap in json.loads(answer.stdout)["gaps"] if gap["source"] == address]
    assert gaps, f"no gap of {address}"
    for gap in gaps:
        assert gap["reason"] in ("malformed", "silent", "refused", "unsupported"), gap
        assert gap["detail"]
    assert address.partition("://")[2] in answer.stderr
    return gaps[0]


def assert_no_harm(answer: Answer) -> None:
    assert "Traceback" not in answer.stderr, answer.stderr[-3000:]
    assert answer.peak_mb < MEMORY_LIMIT_MB


def kinds_for(behaviour: str) -> tuple[str, ...]:
    """What answers in HTTP/1 is nonsense enough for gRPC once: in `http1`."""
    is_document = behaviour.endswith(("json", "nonsense", "utf8"))
    return HTTP_KINDS if is_document else (*HTTP_KINDS, *GRPC_KINDS)


@contextlib.contextmanager
def bad_ones(folder: str, behaviour: str, kinds: Sequence[str]) -> Iterator[dict[str, Raw]]:
    """A server of each kind, by address."""
    with contextlib.ExitStack() as stack:
        found = {}
        for kind in kinds:
            path = os.path.join(folder, f"{kind}.sock")
            server = Raw(path, bad_servers.RAW[behaviour])
            found[f"{kind}://{path}"] = stack.enter_context(server)
        yield found


def naming(addresses: Iterable[str]) -> list[str]:
    return [word for address in addresses for word in ("--host", address)]


@pytest.mark.parametrize("behaviour", [*bad_servers.RAW])
def test_nonsense_is_a_gap(folder: str, behaviour: str) -> None:
    with bad_ones(folder, behaviour, kinds_for(behaviour)) as servers:
        answer = measured("ps", "-a", *naming(servers), "-o", "json")
    assert_no_harm(answer)
    if behaviour == "list-of-nonsense" and answer.code == 0:
        # What can be understood of it may be shown; nothing may be made up.
        return
    assert answer.code == 5, (answer.code, answer.stderr)
    for address in servers:
        gap = assert_is_a_gap(address, answer)
        if behaviour == "silent":
            assert gap["reason"] == "silent"


@pytest.mark.parametrize("behaviour", [*bad_servers.GRPC])
def test_messages_that_nobody_can_use_are_a_gap(folder: str, behaviour: str) -> None:
    paths = {kind: os.path.join(folder, f"{kind}.sock") for kind in GRPC_KINDS}
    with contextlib.ExitStack() as stack:
        for path in paths.values():
            stack.enter_context(bad_servers.grpc_server(path, behaviour))
        addresses = [f"{kind}://{path}" for kind, path in paths.items()]
        answer = measured("ps", "-a", *naming(addresses), "-o", "json")
    assert_no_harm(answer)
    assert answer.code == 5, (answer.code, answer.stderr)
    for address in addresses:
        assert_is_a_gap(address, answer)


def test_sources_says_what_is_wrong_with_it(folder: str) -> None:
    path = os.path.join(folder, "d.sock")
    with Raw(path, bad_servers.RAW["garbage"]):
        answer = measured("sources", "--host", f"docker://{path}", "-o", "json")
    mine = [s for s in json.loads(answer.stdout)["sources"] if s["endpoint"] == path]
    assert [source["state"] for source in mine] == ["malformed"]
    assert answer.code == 5


def test_one_good_endpoint_of_two_is_enough(folder: str) -> None:
    good, bad = os.path.join(folder, "g.sock"), os.path.join(folder, "b.sock")
    with Raw(good, bad_servers.EMPTY), Raw(bad, bad_servers.RAW["garbage"]):
        answer = measured("ps", "--host", f"docker://{good}", "--host", f"docker://{bad}")
    assert answer.code == 0, answer.stderr
    assert bad in answer.stderr


def test_silent_endpoints_gain_few_connections_in_many_runs(folder: str) -> None:
    with bad_ones(folder, "silent", (*HTTP_KINDS, *GRPC_KINDS)) as servers:
        for _ in range(4):
            asking.run("ps", *naming(servers))
        for server in servers.values():
            assert server.accepted >= 1
            assert server.most_open <= 2


def watch_silent_ones(folder: str, seconds: float) -> None:
    with bad_ones(folder, "silent", (*HTTP_KINDS, *GRPC_KINDS)) as servers:
        watch = subprocess.Popen(
            [asking.RTSCOPE, "ps", "-w", "--interval", "1", *naming(servers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.5)
                assert watch.poll() is None
        finally:
            watch.terminate()
            watch.wait(timeout=10)
        for server in servers.values():
            assert server.accepted >= 1
            assert server.most_open <= 2


def test_watching_silent_endpoints_gains_few_connections(folder: str) -> None:
    watch_silent_ones(folder, 20.0)


@pytest.mark.long
@pytest.mark.timeout(500)
def test_watching_silent_endpoints_for_five_minutes(folder: str) -> None:
    watch_silent_ones(folder, 300.0)
