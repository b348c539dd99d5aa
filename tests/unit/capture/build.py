"""Observations with every field of every record filled, from the types themselves."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from rtscope.model.observation import Observation

NOW = datetime(2026, 11, 27, 4, 10, 5, 123456, tzinfo=UTC)


class Filler:
    """Gives a different value at each call, so that mixed-up fields are noticed."""

    def __init__(self) -> None:
        self.count = 0

    def value(self, kind: Any) -> Any:
        self.count += 1
        origin, args = get_origin(kind), get_args(kind)
        if origin is tuple:
            return (self.value(args[0]), self.value(args[0]))
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            return {f"key{self.count}\x1b": self.value(args[1])}
        if args:
            return self.value(next(arg for arg in args if arg is not NoneType))
        if is_dataclass(kind):
            hints = get_type_hints(kind)
            return kind(**{f.name: self.value(hints[f.name]) for f in fields(kind)})
        return self.scalar(kind)

    def scalar(self, kind: Any) -> Any:
        if kind is datetime:
            return NOW + timedelta(seconds=self.count)
        if issubclass(kind, StrEnum):
            members = list(kind)
            return members[self.count % len(members)]
        if kind is bool:
            return bool(self.count % 2)
        if kind is str:
            return f"text {self.count} 日本 \udcff \u202e"
        return kind(self.count)


def full_observation() -> Observation:
    return Filler().value(Observation)


def plain_observation(**changes: Any) -> Observation:
    from rtscope.model.observation import Endpoint, Node

    facts: dict[str, Any] = {
        "source": "docker:///run/docker.sock",
        "kind": "docker",
        "node": Node(hostname="node-1"),
        "started_at": NOW,
        "taken_at": NOW,
        "taken_boottime_ns": 1,
        "endpoint": Endpoint(kind="docker", address="/run/docker.sock"),
    }
    return Observation(**{**facts, **changes})
