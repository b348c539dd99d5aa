"""Values out of JSON documents that anybody may have written: what is not of its kind is None."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def text(value: Any) -> str | None:
    """A string that says something."""
    return value if isinstance(value, str) and value else None


def number(value: Any) -> int | None:
    """An integer; a truth value is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def positive(value: Any) -> int | None:
    """A pid or a start time: engines write 0, or less, for none."""
    found = number(value)
    return found if found is not None and found > 0 else None


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> dict[str, str]:
    """The entries of an object that are strings."""
    return {key: word for key, word in mapping(value).items() if isinstance(word, str)}


def items(value: Any) -> list[Any]:
    """A list; empty for anything else."""
    return value if isinstance(value, list) else []


def instant(value: Any) -> datetime | None:
    """An instant of RFC 3339; Go's year 1 and what is no instant are none."""
    if not isinstance(value, str) or value.startswith("0001-"):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
