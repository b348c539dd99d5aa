"""podman's database, as recorded and as nobody should find it."""

import gzip
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope.backends.podman import database
from rtscope.backends.podman.database import DatabaseError, database_from

DATA = Path(__file__).parents[3] / "data/podman/5.8.6"
RECORDED = gzip.decompress((DATA / "db.sql.gz").read_bytes())


def test_recorded_database():
    found = database_from(RECORDED)
    ((pod_id, pod),) = found.pods.items()
    assert (pod.name, pod.created_at is not None) == ("p-pod", True)
    by_word: dict[str | None, int] = {}
    for container in found.containers.values():
        by_word[container.word] = by_word.get(container.word, 0) + 1
    assert by_word == {"running": 4, "paused": 1, "created": 1, "initialized": 1, "exited": 1}
    (ended,) = (c for c in found.containers.values() if c.word == "exited")
    assert (ended.exit_code, ended.oom_killed, ended.labels) == (3, False, {"a": "b"})
    assert (ended.command, ended.oci_runtime) == ("sh -c exit 3", "runc")
    assert ended.finished_at is not None
    members = [c for c in found.containers.values() if c.pod_id == pod_id]
    assert sorted(c.is_infra for c in members) == [False, True]
    assert all(c.pid_file and c.log_path for c in found.containers.values())
    running = next(c for c in found.containers.values() if c.word == "running")
    assert (running.exit_code, running.finished_at, running.oom_killed) == (None, None, None)


@pytest.mark.parametrize("data", [b"", b"x", b"SQLite format 3\0", RECORDED[:5000]])
def test_no_database_is_an_error(data: bytes):
    with pytest.raises(DatabaseError):
        database_from(data)


def dump_of(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        return connection.serialize()
    finally:
        connection.close()


TABLES = (
    "CREATE TABLE ContainerConfig(ID, Name, PodID, JSON)",
    "CREATE TABLE ContainerState(ID, State, ExitCode, JSON)",
    "CREATE TABLE PodConfig(ID, Name, JSON)",
)


def test_other_schema_is_an_error():
    with pytest.raises(DatabaseError, match="no such table"):
        database_from(dump_of("CREATE TABLE Containers(ID)"))


def test_odd_values_are_none():
    data = dump_of(
        *TABLES,
        "INSERT INTO ContainerConfig VALUES ('a', 'n', 7, '{\"labels\": 3, \"command\": [1]}')",
        "INSERT INTO ContainerConfig VALUES (5, 'n', NULL, '{}')",
        "INSERT INTO ContainerState VALUES ('a', 1, 0, '{\"state\": 99, \"pid\": -1}')",
        "INSERT INTO PodConfig VALUES ('p', 5, '[')",
    )
    found = database_from(data)
    (container,) = found.containers.values()
    assert (container.word, container.pod_id, container.command) == (None, None, None)
    assert (container.exit_code, container.labels) == (None, {})
    assert found.pods["p"].name is None


def test_endless_query_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "_LIMIT_S", 0.05)
    endless = (
        "CREATE VIEW PodConfig AS WITH RECURSIVE n(ID) AS (SELECT 'x' UNION ALL SELECT ID FROM n) "
        "SELECT ID, ID AS Name, '{}' AS JSON FROM n"
    )
    with pytest.raises(DatabaseError, match="interrupted"):
        database_from(dump_of(*TABLES[:2], endless))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(RECORDED) - 1), st.integers(0, 255)), max_size=40))
def test_damaged_database_is_read_or_an_error_of_ours(damage: list[tuple[int, int]]):
    data = bytearray(RECORDED)
    for place, value in damage:
        data[place] = value
    try:
        found = database_from(bytes(data))
    except DatabaseError:
        return
    assert all(isinstance(container_id, str) for container_id in found.containers)
