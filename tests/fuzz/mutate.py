"""How inputs are made: kept ones with parts exchanged, and bytes out of nothing."""

import json
import re
from typing import Any

from hypothesis import strategies as st

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.\w:/@=]+|[\[\]{},]')
WORDS = (
    b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b'""', b'"x"', b"0", b"-1", b"1", b"256",
    b"1e999", b"-1e999", b"NaN", b"2147483648", b"-9223372036854775809", b"99999999999999999999999",
    b"0.5", b'"\\ud800"', b'"\\u0000"', b'"\\u001b[2J"', b'"0001-01-01T00:00:00Z"',
    b'"9999-12-31T23:59:59.999999999-23:59"', b'"2026-13-45T99:99:99Z"', b'"2026-11-27T03:00:00Z"',
    b'"/../../etc/passwd"', b"--", b"-", b"--root", b"-id", b"\x00", b"\n", b"..", b"\xff\xfe",
    b"\xef\xbc\x95", b"\xd9\xa3", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"a" * 70_000,
)  # fmt: skip
BYTES = (b"", b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\r\n", b"\x00" * 64)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, float("inf"), float("nan"), 10**30, 2**63, "", "x", "\ud800",
    "\x00", "\x1b[2J", "a" * 70_000, [], {}, [None], [[]], ["x"], {"a": None}, {"": []},
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "2026-13-45T99:99:99Z",
    "2026-11-27T03:00:00Z", "0x10", "٣", "/../..",
)  # fmt: skip
MAX_DOCUMENT = 60_000

Edit = tuple[str, int, bytes]


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """The data with every edit made, one after another."""
    for kind, number, piece in edits:
        place = number % (len(data) + 1)
        if kind == "token":
            tokens = list(TOKEN.finditer(data[:200_000]))
            if tokens:
                chosen = tokens[number % len(tokens)]
                data = data[: chosen.start()] + piece + data[chosen.end() :]
        elif kind == "value":
            data = with_value(data, number)
        elif kind == "insert":
            data = data[:place] + piece + data[place:]
        elif kind == "cut":
            data = data[:place]
        elif kind == "drop":
            data = data[:place] + data[place + 1 + len(piece) :]
        elif kind == "repeat":
            data = data[:place] + data[place : place + 64] * 3 + data[place:]
        elif kind == "flip" and data:
            at = number % len(data)
            data = data[:at] + bytes([data[at] ^ (1 << number % 8)]) + data[at + 1 :]
    return data


def with_value(data: bytes, number: int) -> bytes:
    """A JSON document with one of its values, or a key of an object, exchanged; else as it was."""
    try:
        document = json.loads(data) if len(data) < MAX_DOCUMENT else None
    except (ValueError, RecursionError):
        return data
    places = list(_places(document))
    if not places:
        return data
    holder, key = places[number % len(places)]
    if isinstance(holder, dict) and number % 7 == 0:
        holder["x" * (number % 3)] = holder.pop(key)
    else:
        holder[key] = VALUES[number // len(places) % len(VALUES)]
    return json.dumps(document).encode(errors="replace")


def _places(document: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of every value below the top."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        one = waiting.pop()
        keys: Any = (
            one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        )
        for key in list(keys):
            found.append((one, key))
            waiting.append(one[key])
    return found


def _edit(kinds: tuple[str, ...], pieces: tuple[bytes, ...]) -> st.SearchStrategy[Edit]:
    return st.tuples(st.sampled_from(kinds), st.integers(0, 100_000), st.sampled_from(pieces))


EDITS = st.lists(
    st.one_of(
        _edit(("value",), (b"",)),
        _edit(("token",), WORDS),
        _edit(("token", "insert"), WORDS + BYTES),
        _edit(("cut", "drop", "repeat", "flip"), BYTES),
    ),
    min_size=1,
    max_size=4,
)


def inputs(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Mostly kept inputs with a few edits; now and then bytes that nobody wrote."""
    changed = st.builds(edited, st.sampled_from(seeds), EDITS)
    return st.one_of(changed, changed, changed, st.binary(max_size=400))
