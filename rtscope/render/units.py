"""Ages, sizes, instants: from a number to text, and from what a user typed to a number."""

from datetime import UTC, datetime, timedelta

from rtscope.config.durations import parse_duration
from rtscope.errors import UsageError

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


def parse_instant(text: str, now: datetime) -> datetime:
    """An instant: a duration before `now`, or RFC 3339 (without a zone: local time).

    Raises:
        UsageError: it is neither.
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    try:
        if at is not None and not text.strip().isdigit():
            return at.astimezone(UTC)
        return now - timedelta(seconds=parse_duration(text))
    except (UsageError, OverflowError) as error:
        raise UsageError(
            f"time {text!r}: not understood", "write 10m, 2h, or 2026-11-27T04:10:00Z"
        ) from error
