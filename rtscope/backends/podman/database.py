"""podman's own database, `db.sql` of a graph root, from podman 4.8 on.

The file is read into memory and opened there: nothing is locked, no journal is touched, and what
somebody else's store holds cannot make SQLite write. Older podmans keep a bolt file, which is not
read. Source: podman, libpod/sqlite_state_internal.go, createSQLiteTables.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rtscope.backends.fields import instant, items, mapping, number, text, texts
from rtscope.model.facts import fact, field

if TYPE_CHECKING:
    from sqlite3 import Connection

_WORDS = (
    "unknown",
    "created",
    "initialized",
    "running",
    "stopped",
    "paused",
    "exited",
    "removing",
    "stopping",
)
"""As the API writes them. Source: podman, libpod/define/containerstate.go, by their numbers."""

_ENDED = frozenset({"stopped", "exited"})
_MAGIC = b"SQLite format 3\0"
_MAX_VALUE_BYTES = 16 << 20
_LIMIT_S = 0.5
_STEPS = 20_000

_CONTAINERS = """
SELECT c.ID, c.PodID, s.JSON, json_extract(CAST(c.JSON AS TEXT), '$.labels', '$.command',
  '$.runtime', '$.logPath', '$.pause', '$.entrypoint', '$.pid_file')
FROM ContainerConfig c LEFT JOIN ContainerState s ON s.ID = c.ID
"""
_NOTHING = (None,) * 7
_PODS = "SELECT ID, Name, JSON FROM PodConfig"


class DatabaseError(ValueError):
    """The file is not a database of podman's, or of a version that is not known."""


@fact
class DbContainer:
    """What podman recorded of a container. Its state is of when podman last looked.

    Attributes:
        word: libpod's word for the state.
        exit_code, finished_at: None unless it has ended.
    """

    pod_id: str | None
    word: str | None
    pid_file: str | None
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    oom_killed: bool | None
    restart_count: int | None
    labels: Mapping[str, str]
    command: str | None
    oci_runtime: str | None
    log_path: str | None
    is_infra: bool


@fact
class DbPod:
    """A pod as podman recorded it."""

    name: str | None
    labels: Mapping[str, str]
    created_at: datetime | None


@fact
class Database:
    """Containers and pods by id; both empty where there is no database."""

    containers: Mapping[str, DbContainer] = field(default_factory=dict)
    pods: Mapping[str, DbPod] = field(default_factory=dict)


def database_from(data: bytes) -> Database:
    """Everything that is needed of a database file.

    Raises:
        DatabaseError: It cannot be read.
    """
    try:
        import sqlite3
    except ImportError as error:
        raise DatabaseError("this Python has no sqlite3") from error
    if not data.startswith(_MAGIC):
        raise DatabaseError("not podman's database: no SQLite file")
    connection = sqlite3.connect(":memory:")
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.deserialize(data)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.set_progress_handler(_watch(time.monotonic() + _LIMIT_S), _STEPS)
        return Database(containers=_containers(connection), pods=_pods(connection))
    except (sqlite3.Error, MemoryError, OverflowError, UnicodeError) as error:
        raise DatabaseError(f"not podman's database: {error}") from error
    finally:
        connection.close()


def _watch(deadline: float) -> Callable[[], int]:
    """Ends a query that takes too long: a view can make a small file an endless one."""
    return lambda: int(time.monotonic() > deadline)


def _containers(connection: "Connection") -> dict[str, DbContainer]:
    found = {}
    for container_id, pod_id, state, config in connection.execute(_CONTAINERS):
        if isinstance(container_id, str):
            found[container_id] = _container_from(
                text(pod_id), mapping(_json(state)), items(_json(config))
            )
    return found


def _pods(connection: "Connection") -> dict[str, DbPod]:
    found = {}
    for pod_id, name, config in connection.execute(_PODS):
        facts = mapping(_json(config))
        if isinstance(pod_id, str):
            found[pod_id] = DbPod(
                name=text(name),
                labels=texts(facts.get("labels")),
                created_at=instant(facts.get("created")),
            )
    return found


def _container_from(pod_id: str | None, state: Mapping[str, Any], config: list[Any]) -> DbContainer:
    # The columns State and ExitCode are copies that podman 5.8.6 leaves at their first value.
    labels, command, runtime, log_path, is_pause, entrypoint, pid_file = (*config, *_NOTHING)[:7]
    place = number(state.get("state"))
    word = _WORDS[place] if place is not None and 0 <= place < len(_WORDS) else None
    has_ended = word in _ENDED
    words = [w for w in (*items(entrypoint), *items(command)) if isinstance(w, str)]
    return DbContainer(
        pod_id=pod_id,
        word=word,
        pid_file=text(pid_file),
        started_at=instant(state.get("startedTime")),
        finished_at=instant(state.get("finishedTime")) if has_ended else None,
        exit_code=(number(state.get("exitCode")) or 0) if has_ended else None,
        oom_killed=state.get("oomKilled") is True if has_ended else None,
        restart_count=number(state.get("restartCount")),
        labels=texts(labels),
        command=" ".join(words) or None,
        oci_runtime=text(runtime),
        log_path=text(log_path),
        is_infra=is_pause in (True, 1),
    )


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError, TypeError):
        return None
