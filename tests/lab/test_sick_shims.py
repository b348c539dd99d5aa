"""Many sick shims of many, and more records than one answer holds: all listed, nobody waits."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from rtscope._pb import containers_pb2
from tests.lab import asking, conftest, faults
from tests.lab.layout import IMAGE
from tests.lab.node import Node, many

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

COUNT = 100
RUNS = 5
# What a slow machine may add to a time, beside what the sick ones do.
SLACK_S = 0.75
RECORDS = 1000
_CREATE = "/containerd.services.containers.v1.Containers/Create"


@pytest.fixture(scope="module")
def crowd() -> Iterator[Node]:
    conftest.require_lab("forky")
    with many(COUNT) as node:
        yield node


def median_s() -> float:
    """Seconds that a listing takes."""
    taken = []
    for _ in range(RUNS):
        start = time.monotonic()
        done = asking.run(*asking.EVERYTHING)
        taken.append(time.monotonic() - start)
        assert done.returncode == 0, done.stderr
    return statistics.median(taken)


def is_marked(row: dict[str, Any]) -> bool:
    return any(view["verdict"] == "unknown" for view in row["layers"].values())


def test_sick_shims_are_marked_and_cost_no_time(crowd: Node) -> None:
    shims = crowd.shims().all()
    assert len(shims) == COUNT
    chosen = sorted(shims)[:: COUNT // 20][:20]
    medians = {}
    healthy = {row["key"]: row for row in asking.rows(crowd)}
    assert len(healthy) == COUNT
    assert not any(is_marked(row) for row in healthy.values())
    for sick in (1, 5, 20):
        keys = set(chosen[:sick])
        with faults.stopped(crowd, *(shims[key] for key in keys)):
            medians[sick] = median_s()
            rows = {row["key"]: row for row in asking.rows(crowd)}
        assert set(rows) == set(healthy)
        marked = {(row["namespace"], row["id"]) for row in rows.values() if is_marked(row)}
        assert marked == keys
        for key, row in rows.items():
            assert row["pid"] == healthy[key]["pid"]
            assert row["state"] == "running"
            if (row["namespace"], row["id"]) not in keys:
                assert row == healthy[key]
    # One that is silent costs its deadline; twenty cost no more.
    assert medians[20] < medians[1] * 2 + SLACK_S, medians
    assert medians[5] < medians[1] * 2 + SLACK_S, medians


def create_records(node: Node, namespace: str, count: int) -> None:
    """Containers without tasks, straight through containerd's API: ctr would take minutes."""
    options = [("grpc.default_authority", "localhost")]
    address = f"unix:{node.layout.sockets['containerd']}"
    with grpc.insecure_channel(address, options=options) as channel:
        create = channel.unary_unary(_CREATE)
        for number in range(count):
            record = containers_pb2.Container(id=f"record-{number}", image=IMAGE)
            record.labels["rtlab"] = node.name
            record.labels["padding"] = "x" * 2048
            record.runtime.name = "io.containerd.runc.v2"
            body = record.SerializeToString()
            request = b"\x0a" + _varint(len(body)) + body
            create(request, metadata=(("containerd-namespace", namespace),), timeout=30)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def test_a_thousand_records_without_tasks_are_all_listed(crowd: Node) -> None:
    create_records(crowd, "records", RECORDS)
    rows = asking.rows(crowd)
    records = [row for row in rows if row["namespace"] == "records"]
    assert {row["id"] for row in records} == {f"record-{n}" for n in range(RECORDS)}
    assert len(records) == RECORDS
    assert {row["state"] for row in records} == {"created"}
    assert {row["verdict"] for row in records} == {"ok"}
    assert len(rows) == RECORDS + COUNT
    # A plain listing of what runs is not crowded by them.
    running = asking.of_node(
        crowd, asking.document("ps", "--all-runtimes", *asking.PATIENT)["containers"]
    )
    assert len(running) == COUNT


def listed_without_daemons(
    node: Node, expected: dict[int, str], healthy_s: float, noted: tuple[str, ...]
) -> None:
    """Everything that runs, with its id, in less time than silent daemons could cost."""
    taken = []
    for _ in range(3):
        start = time.monotonic()
        done = asking.run(*asking.EVERYTHING)
        taken.append(time.monotonic() - start)
        assert done.returncode == 0, done.stderr
    assert min(taken) < max(3.0, 4 * healthy_s), (taken, healthy_s)
    for name in noted:
        assert node.layout.sockets[name] in done.stderr
    rows = [row for row in asking.rows(node) if row["pid"] in expected]
    assert {row["pid"]: row["id"] for row in rows} == expected
    assert len(rows) == COUNT
    for row in rows:
        assert row["state"] == "running"
        assert row["bundle_dir"]
        assert row["layers"]["oci"]["verdict"] == "ok"
        assert row["shim_pid"]


def test_stopped_then_dead_daemons_hide_none_of_a_hundred(crowd: Node) -> None:
    """The last test on this node: its daemons do not come back."""
    healthy_s = median_s()
    expected = {row["pid"]: row["id"] for row in asking.rows(crowd) if row["pid"] is not None}
    assert len(expected) == COUNT
    names = ("docker", "containerd")
    with faults.stopped(crowd, *(crowd.daemons.pids[name] for name in names)):
        listed_without_daemons(crowd, expected, healthy_s, names)
    for name in names:
        crowd.wait_ready(name)
        crowd.kill_daemon(name)
    # Nothing names the socket of a dockerd that is gone; the shims still name containerd's.
    listed_without_daemons(crowd, expected, healthy_s, ("containerd",))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_three_hundred_running_containers_are_all_listed() -> None:
    conftest.require_lab("forky")
    with many(300) as node:
        rows = asking.rows(node)
        assert len(rows) == 300
        assert {row["state"] for row in rows} == {"running"}
        assert {row["verdict"] for row in rows} == {"ok"}
        assert len({row["pid"] for row in rows}) == 300
        shims = node.shims().all()
        assert {row["shim_pid"] for row in rows} == set(shims.values())
