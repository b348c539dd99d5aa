"""What the contract tests of backends share: targets, another user's rights, aware times."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from rtscope.backends.base import Targets
from rtscope.config.deadlines import Deadlines
from rtscope.model.facts import field_names
from rtscope.model.observation import Node, Observation
from rtscope.model.refs import Ref
from rtscope.procfs.host import Host

NOBODY = 65534
PATIENT = Deadlines(connect_s=20, first_answer_s=20, request_s=20, shim_s=20, verb_s=60)
HASTY = Deadlines(connect_s=0.3, first_answer_s=0.3, request_s=0.3, shim_s=0.3)


def targets(
    *,
    needs: frozenset[str] = frozenset(),
    scope: tuple[Ref, ...] | None = None,
    kernel: Observation | None = None,
) -> Targets:
    return Targets(
        node=Node(hostname="test", euid=os.geteuid()),
        host=Host(),
        needs=needs,
        scope=scope,
        kernel=kernel,
    )


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """The rights of a user who owns nothing. Only root can take them."""
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="rtscope-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def naive_times(observation: Observation) -> list[str]:
    """Fields of every record that hold an instant which is not aware and UTC."""
    found = []
    for name in ("containers", "tasks", "sandboxes", "images", "oci_states", "events"):
        for record in getattr(observation, name):
            for field in field_names(type(record)):
                value = getattr(record, field)
                if isinstance(value, datetime) and value.utcoffset() != timedelta(0):
                    found.append(f"{name}.{field}: {value}")
    return found
