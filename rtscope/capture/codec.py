"""Observations as JSON and back, without loss.

Driven by the types of the dataclasses themselves: a field that the model gains is saved and read
without a line here. What a newer rtscope wrote and this one does not know is left out and said.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from rtscope.errors import UsageError
from rtscope.model.observation import Observation

Read = Callable[[Any, str, set[str]], Any]


def to_json(observation: Observation) -> dict[str, Any]:
    """The observation as JSON values; fields that hold their default are left out."""
    document: dict[str, Any] = _plain(observation)
    return document


def from_json(document: Any, where: str = "observation") -> tuple[Observation, frozenset[str]]:
    """The observation, and the names of fields that are not known here.

    Args:
        document: JSON values.
        where: Named in errors: the file and the position in it.

    Raises:
        UsageError: it is not an observation; says at which field.
    """
    unknown: set[str] = set()
    observation: Observation = _reader(Observation)(document, where, unknown)
    return observation, frozenset(unknown)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    if is_dataclass(value):
        return {
            field.name: _plain(member)
            for field in fields(value)
            if not _is_default(field, member := getattr(value, field.name))
        }
    raise TypeError(f"a {type(value).__name__} cannot be saved")


def _is_default(field: Field[Any], value: Any) -> bool:
    if field.default is not MISSING:
        return type(value) is type(field.default) and bool(value == field.default)
    return field.default_factory is not MISSING and bool(value == field.default_factory())


@cache
def _reader(kind: Any) -> Read:
    """The function that reads a value of that type; made once a type."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _optional(kind)
    if origin is tuple:
        return _tuple(get_args(kind)[0])
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(get_args(kind)[1])
    if is_dataclass(kind):
        return _record(kind)
    if kind is datetime:
        return _instant
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _word(kind)
    return _scalar(kind)


def _optional(kind: Any) -> Read:
    inner = [member for member in get_args(kind) if member is not NoneType]
    if len(inner) != 1:
        raise TypeError(f"{kind}: only `X | None` can be read")
    read = _reader(inner[0])

    def read_optional(value: Any, where: str, unknown: set[str]) -> Any:
        return None if value is None else read(value, where, unknown)

    return read_optional


def _tuple(member: Any) -> Read:
    read = _reader(member)

    def read_tuple(value: Any, where: str, unknown: set[str]) -> Any:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(read(one, f"{where}[{i}]", unknown) for i, one in enumerate(value))

    return read_tuple


def _mapping(member: Any) -> Read:
    read = _reader(member)

    def read_mapping(value: Any, where: str, unknown: set[str]) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {key: read(one, f"{where}.{key}", unknown) for key, one in value.items()}

    return read_mapping


def _record(kind: Any) -> Read:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    required = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }

    def read_record(value: Any, where: str, unknown: set[str]) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        missing = sorted(required - value.keys())
        if missing:
            raise UsageError(f"{where}: {missing[0]} is missing")
        unknown.update(f"{kind.__name__}.{name}" for name in value.keys() - readers.keys())
        known = {name: member for name, member in value.items() if name in readers}
        return kind(**{n: readers[n](one, f"{where}.{n}", unknown) for n, one in known.items()})

    return read_record


def _instant(value: Any, where: str, _unknown: set[str]) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _wrong(where, "an RFC 3339 instant", value) from error
    if at.tzinfo is None:
        raise _wrong(where, "an instant with a zone", value)
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise _wrong(where, "an instant of this calendar", value) from error


def _word(kind: type[StrEnum]) -> Read:
    fallback = kind.__members__.get("UNKNOWN") or kind.__members__.get("UNSUPPORTED")

    def read_word(value: Any, where: str, unknown: set[str]) -> StrEnum:
        try:
            return kind(value)
        except ValueError as error:
            if fallback is None or not isinstance(value, str):
                raise _wrong(where, f"one of {', '.join(kind)}", value) from error
            unknown.add(f"{kind.__name__} {value!r}")
            return fallback

    return read_word


def _scalar(kind: Any) -> Read:
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)

    def read_scalar(value: Any, where: str, _unknown: set[str]) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise _wrong(where, f"of type {kind.__name__}", value)
        return float(value) if kind is float and isinstance(value, int) else value

    return read_scalar


def _wrong(where: str, wanted: str, value: Any) -> UsageError:
    text = repr(value)
    return UsageError(f"{where}: is {text if len(text) <= 60 else text[:60] + '…'}, not {wanted}")
