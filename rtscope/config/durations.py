"""Spans of time as people write them, in flags and in files."""

import re

from rtscope.errors import UsageError

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(text: str) -> float:
    """Seconds of `500ms`, `42s`, `10m`, `1h30m`, or of a bare number of seconds.

    Raises:
        UsageError: it is none of these.
    """
    word = text.strip().lower()
    if _NUMBER.fullmatch(word):
        return float(word)
    if not _SPAN.fullmatch(word):
        raise UsageError(f"duration {text!r}: not understood", "write 500ms, 42s, 10m, 2h or 1h30m")
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PIECE.findall(word))
