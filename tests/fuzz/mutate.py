"""How inputs are made: kept ones with parts exchanged, and bytes out of nothing."""

import re

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


def _edit(kinds: tuple[str, ...], pieces: tuple[bytes, ...]) -> st.SearchStrategy[Edit]:
    return st.tuples(st.sampled_from(kinds), st.integers(0, 100_000), st.sampled_from(pieces))


EDITS = st.lists(
    st.one_of(
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
