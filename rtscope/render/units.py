"""Ages, sizes, instants: from a number to text, and from what a user typed to a number."""

import re
from datetime import UTC, datetime, timedelta

from rtscope.errors import UsageError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_YEAR_S = 365 * 86400


def age_text(seconds: float) -> str:
    """`42s`, `5m`, `3h`, `12d`, `2y`: one number, rounded down; two units are never needed."""
    seconds = max(0.0, seconds)
    for limit, unit, letter in (
        (120, 1, "s"),
        (2 * 3600, 60, "m"),
        (2 * 86400, 3600, "h"),
        (2 * _YEAR_S, 86400, "d"),
    ):
        if seconds < limit:
            return f"{int(seconds // unit)}{letter}"
    return f"{int(seconds // _YEAR_S)}y"


def span_text(seconds: float) -> str:
    """An elapsed time as a deadline would be written: `3ms`, `1.5s`, `2m`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 120:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    return age_text(seconds)


def ms_text(milliseconds: float | None) -> str:
    """`0.3`, `12`, `1250`: milliseconds with as much precision as is worth reading."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.1f}" if milliseconds < 10 else f"{milliseconds:.0f}"


def bytes_text(count: int) -> str:
    """`512B`, `1.5K`, `20M`, `3.2G`: powers of 1024."""
    size = float(count)
    for letter in "BKMGTP":
        if size < 1024 or letter == "P":
            break
        size /= 1024
    digits = 1 if letter != "B" and size < 10 else 0
    return f"{size:.{digits}f}{letter}"


def instant_text(at: datetime, *, is_utc: bool) -> str:
    """`2026-11-27 04:10:12` in the local zone, or with a `Z` in UTC."""
    if is_utc:
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def rfc3339(at: datetime) -> str:
    """UTC with a `Z`, as in every JSON document."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> float:
    """Seconds of `10m`, `1h30m`, `500ms`, `2.5` (seconds).

    Raises:
        UsageError: it is none of these.
    """
    plain = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", plain):
        return float(plain)
    parts = _PART.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise UsageError(f"duration {text!r}: not understood", "write 500ms, 42s, 10m, 2h or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_instant(text: str, now: datetime) -> datetime:
    """An instant: a duration before `now`, or RFC 3339 (without a zone: local time).

    Raises:
        UsageError: it is neither.
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is not None and not text.strip().isdigit():
        return at.astimezone(UTC)
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (UsageError, OverflowError) as error:
        raise UsageError(
            f"time {text!r}: not understood", "write 10m, 2h, or 2026-11-27T04:10:00Z"
        ) from error
