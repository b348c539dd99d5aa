"""The dates of a certificate, and nothing else: enough DER for that, without OpenSSL."""

import base64
import re
from datetime import UTC, datetime

from rtscope.model.facts import fact

_PEM = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s(.{1,65536}?)-----END CERTIFICATE-----", re.DOTALL
)

_SEQUENCE = 0x30
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_VERSION = 0xA0
_FIELDS_BEFORE_VALIDITY = 3
"""serialNumber, signature, issuer. Source: RFC 5280, 4.1."""


@fact
class Validity:
    """From when to when a certificate is good."""

    not_before: datetime
    not_after: datetime


class _DerError(ValueError):
    """Not the encoding that was expected."""


def validity_in(pem: bytes) -> Validity | None:
    """The dates of the first certificate in a PEM file; None if there is none to be read.

    A private key beside it, as the kubelet keeps it, is skipped over and not decoded.
    """
    found = _PEM.search(pem)
    if found is None:
        return None
    try:
        return _validity_from(base64.b64decode(found[1]))
    except ValueError:
        return None


def _validity_from(der: bytes) -> Validity:
    certificate, _ = _expect(der, _SEQUENCE)
    rest, _ = _expect(certificate, _SEQUENCE)
    if rest[:1] == bytes([_VERSION]):
        _, _, rest = _element(rest)
    for _ in range(_FIELDS_BEFORE_VALIDITY):
        _, _, rest = _element(rest)
    validity, _ = _expect(rest, _SEQUENCE)
    first, second, validity = _element(validity)
    not_before = _instant(first, second)
    first, second, _ = _element(validity)
    return Validity(not_before=not_before, not_after=_instant(first, second))


def _expect(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Content of an element that must have this tag, and what follows it."""
    found, content, rest = _element(data)
    if found != tag:
        raise _DerError(f"tag {found:#x} instead of {tag:#x}")
    return content, rest


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first element, and what follows it. Source: X.690, 8.1."""
    if len(data) < 2:
        raise _DerError("truncated")
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    if start + size > len(data):
        raise _DerError("truncated")
    return data[0], data[start : start + size], data[start + size :]


def _instant(tag: int, content: bytes) -> datetime:
    """Source: RFC 5280, 4.1.2.5: two-digit years from 50 on are of the twentieth century."""
    word = content.decode("ascii")
    if tag == _UTC_TIME:
        word = ("19" if word[:2] >= "50" else "20") + word
    elif tag != _GENERALIZED_TIME:
        raise _DerError("not a time")
    return datetime.strptime(word, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
