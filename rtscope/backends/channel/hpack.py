"""HPACK, the header compression of HTTP/2: all of decoding, and the plainest encoding.

Source: RFC 7541. The hpack library does the same and costs 13 ms to import; gRPC's servers do use
Huffman codes and the dynamic table.
"""

from collections import deque

Header = tuple[bytes, bytes]

TABLE_LIMIT = 4096
"""Bytes of dynamic table that we allow the peer: HTTP/2's initial SETTINGS_HEADER_TABLE_SIZE."""
BLOCK_LIMIT = 1 << 20
"""Most bytes of one list of headers, names and values together."""

_ENTRY_OVERHEAD = 32  # RFC 7541, 4.1
_INTEGER_LIMIT = 1 << 28

_PLAIN_NAMES = (
    b"accept-language accept-ranges accept access-control-allow-origin age allow authorization "
    b"cache-control content-disposition content-encoding content-language content-length "
    b"content-location content-range content-type cookie date etag expect expires from host "
    b"if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link "
    b"location max-forwards proxy-authenticate proxy-authorization range referer refresh "
    b"retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary "
    b"via www-authenticate"
)
# RFC 7541, appendix A: names with the values that have an entry of their own.
_STATIC: tuple[Header, ...] = tuple(
    (name, value)
    for name, values in (
        (b":authority", (b"",)),
        (b":method", (b"GET", b"POST")),
        (b":path", (b"/", b"/index.html")),
        (b":scheme", (b"http", b"https")),
        (b":status", (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
        (b"accept-charset", (b"",)),
        (b"accept-encoding", (b"gzip, deflate",)),
        *((name, (b"",)) for name in _PLAIN_NAMES.split()),
    )
    for value in values
)
_PATH_INDEX, _AUTHORITY_INDEX = 4, 1
_METHOD_POST, _SCHEME_HTTP = b"\x83", b"\x86"

# RFC 7541, appendix B: the length in bits of each symbol's code, the end of a string last. The
# code is canonical, so the lengths say everything.
_CODE_LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c"
    "060a0a0c0d06080b0a0a080b080606060505050606060606060607080f060c0a"
    "0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c"
    "1416141416161617161717171717181718181617181717171715161716171718"
    "1615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b"
    "14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
    "1e"
)
_END_OF_STRING = 256
_SHORTEST_CODE = min(_CODE_LENGTHS)
_symbols: dict[tuple[int, int], int] = {}


class HpackError(ValueError):
    """The bytes are no header block."""


def encode_request(path: str, authority: str, headers: list[tuple[str, str]]) -> bytes:
    """The header block of a POST; nothing is compressed or entered into the table."""
    block = bytearray(_METHOD_POST + _SCHEME_HTTP)
    block += bytes([_PATH_INDEX]) + _string(path) + bytes([_AUTHORITY_INDEX]) + _string(authority)
    for name, value in headers:
        block += b"\0" + _string(name) + _string(value)
    return bytes(block)


def _string(text: str) -> bytes:
    data = text.encode()
    length = len(data)
    if length < 0x7F:
        return bytes([length]) + data
    prefix = bytearray([0x7F])
    length -= 0x7F
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + data


class Decoder:
    """Reads the header blocks of one connection, in order; keeps the dynamic table."""

    def __init__(self) -> None:
        self._table: deque[Header] = deque()
        self._table_bytes = 0
        self._table_limit = TABLE_LIMIT

    def decode(self, block: bytes) -> list[Header]:
        """The headers of a block.

        Raises:
            HpackError: The block is malformed, or its headers are longer than BLOCK_LIMIT.
        """
        headers: list[Header] = []
        size, position = 0, 0
        try:
            while position < len(block):
                header, position = self._next(block, position)
                if header is None:
                    continue
                headers.append(header)
                size += len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD
                if size > BLOCK_LIMIT:
                    raise HpackError(f"headers longer than {BLOCK_LIMIT} bytes")
        except IndexError as error:
            raise HpackError("header block ends midway") from error
        return headers

    def _next(self, block: bytes, position: int) -> tuple[Header | None, int]:
        first = block[position]
        if first & 0x80:
            index, position = _integer(block, position, 7)
            return self._entry(index), position
        if first & 0xE0 == 0x20:
            limit, position = _integer(block, position, 5)
            if limit > TABLE_LIMIT:
                raise HpackError(f"dynamic table of {limit} bytes, {TABLE_LIMIT} are allowed")
            self._table_limit = limit
            self._evict()
            return None, position
        is_entered = bool(first & 0x40)
        index, position = _integer(block, position, 6 if is_entered else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _read_string(block, position)
        value, position = _read_string(block, position)
        if is_entered:
            self._enter((name, value))
        return (name, value), position

    def _entry(self, index: int) -> Header:
        if 1 <= index <= len(_STATIC):
            return _STATIC[index - 1]
        try:
            return self._table[index - len(_STATIC) - 1] if index else _STATIC[len(_STATIC)]
        except IndexError as error:
            raise HpackError(f"no entry {index} in the header table") from error

    def _enter(self, header: Header) -> None:
        self._table.appendleft(header)
        self._table_bytes += len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD
        self._evict()

    def _evict(self) -> None:
        while self._table_bytes > self._table_limit:
            name, value = self._table.pop()
            self._table_bytes -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, position: int, prefix_bits: int) -> tuple[int, int]:
    """RFC 7541, 5.1."""
    mask = (1 << prefix_bits) - 1
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if value > _INTEGER_LIMIT or shift > 35:
            raise HpackError("number too large in a header block")
        if not byte & 0x80:
            return value, position


def _read_string(block: bytes, position: int) -> tuple[bytes, int]:
    is_huffman = bool(block[position] & 0x80)
    length, position = _integer(block, position, 7)
    end = position + length
    if end > len(block):
        raise HpackError("header block ends midway")
    data = block[position:end]
    return (_from_huffman(data) if is_huffman else data), end


def _from_huffman(data: bytes) -> bytes:
    """RFC 7541, 5.2."""
    symbols = _symbols or _build_symbols()
    text = bytearray()
    code = length = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            length += 1
            if length < _SHORTEST_CODE:
                continue
            symbol = symbols.get((length, code))
            if symbol is None:
                continue
            if symbol == _END_OF_STRING:
                raise HpackError("end of string inside a string")
            text.append(symbol)
            code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise HpackError("a Huffman code ends midway")
    return bytes(text)


def _build_symbols() -> dict[tuple[int, int], int]:
    """(length, code) -> symbol, of the canonical code: counted up by length, then symbol."""
    built: dict[tuple[int, int], int] = {}
    code = length = 0
    for symbol in sorted(range(len(_CODE_LENGTHS)), key=lambda each: (_CODE_LENGTHS[each], each)):
        code <<= _CODE_LENGTHS[symbol] - length
        length = _CODE_LENGTHS[symbol]
        built[length, code] = symbol
        code += 1
    _symbols.update(built)
    return built
