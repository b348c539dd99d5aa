import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtscope.backends.channel.hpack import (
    _STATIC,
    BLOCK_LIMIT,
    TABLE_LIMIT,
    Decoder,
    HpackError,
    encode_request,
)

# Deadlines of single examples fail on a busy machine and say nothing.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_static_table_has_the_entries_of_the_rfc() -> None:
    assert len(_STATIC) == 61
    # RFC 7541, appendix A.
    assert _STATIC[1] == (b":method", b"GET")
    assert _STATIC[13] == (b":status", b"500")
    assert _STATIC[30] == (b"content-type", b"")
    assert _STATIC[60] == (b"www-authenticate", b"")


def test_requests_of_the_rfc_are_decoded() -> None:
    """RFC 7541, C.4: Huffman codes, and entries of the dynamic table, on one connection."""
    decoder = Decoder()
    assert decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
    ]
    assert decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))[-2:] == [
        (b":authority", b"www.example.com"),
        (b"cache-control", b"no-cache"),
    ]
    third = bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")
    assert decoder.decode(third)[-2:] == [
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ]


def test_answers_of_the_rfc_are_decoded() -> None:
    """RFC 7541, C.6.1."""
    block = bytes.fromhex(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff"
        "6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    )
    assert Decoder().decode(block) == [
        (b":status", b"302"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        (b"location", b"https://www.example.com"),
    ]


def test_newest_entries_push_out_the_oldest() -> None:
    decoder = Decoder()
    for number in range(200):
        value = f"{number:0>60}".encode()
        decoder.decode(b"\x40\x01a" + bytes([len(value)]) + value)
    # 32 bytes of overhead an entry (RFC 7541, 4.1).
    count = TABLE_LIMIT // (1 + 60 + 32)
    assert decoder.decode(bytes([0xBE])) == [(b"a", f"{199:0>60}".encode())]
    oldest = 61 + count
    assert decoder.decode(bytes([0x80 | oldest]))[0][1] == f"{200 - count:0>60}".encode()
    with pytest.raises(HpackError, match="no entry"):
        decoder.decode(bytes([0x80 | (oldest + 1)]))


def test_smaller_table_forgets_entries() -> None:
    decoder = Decoder()
    assert decoder.decode(b"\x40\x01a\x01b\xbe") == [(b"a", b"b")] * 2
    with pytest.raises(HpackError, match="no entry"):
        decoder.decode(b"\x20\xbe")


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("80", "no entry 0"),
        ("ffffffffff0f", "too large"),
        ("3fffffffff0f", "too large"),
        ("3fe23f", "4096 are allowed"),
        ("0003616263", "midway"),
        ("00036162", "midway"),
        ("41", "midway"),
        ("0081ff", "midway"),
        ("0081fe", "midway"),
        ("0084ffffffff", "end of string|midway"),
    ],
)
def test_malformed_block_is_an_error(block: str, why: str) -> None:
    with pytest.raises(HpackError, match=why):
        Decoder().decode(bytes.fromhex(block))


def test_headers_that_grow_in_decoding_are_bounded() -> None:
    """A short block may name one long entry again and again."""
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x7f\x81\x1e" + bytes(0x7F + 0xF01))
    with pytest.raises(HpackError, match="longer"):
        decoder.decode(b"\xbe" * (BLOCK_LIMIT // 3000))


@patient
@given(st.lists(st.binary(max_size=80), max_size=6))
def test_any_bytes_are_headers_or_an_error(blocks: list[bytes]) -> None:
    decoder = Decoder()
    for block in blocks:
        try:
            headers = decoder.decode(block)
        except HpackError:
            return
        assert all(isinstance(part, bytes) for header in headers for part in header)


@patient
@given(
    st.text(st.characters(codec="ascii"), max_size=400),
    st.lists(st.tuples(st.text(max_size=200), st.text(max_size=20000)), max_size=4),
)
def test_encoded_request_is_decoded_again(path: str, headers: list[tuple[str, str]]) -> None:
    assert Decoder().decode(encode_request(path, "localhost", headers)) == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"localhost"),
        *((name.encode(), value.encode()) for name, value in headers),
    ]
