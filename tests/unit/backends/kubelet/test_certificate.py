"""The dates of certificates."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope.backends.kubelet.certificate import Validity, validity_in

DATA = Path(__file__).parents[3] / "data/kubelet"
CLIENT = (DATA / "client.pem").read_bytes()
START = datetime(2026, 11, 27, 5, 1, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("client.pem", datetime(2027, 11, 27, 5, 1, 37, tzinfo=UTC)),
        ("until-2126.pem", datetime(2126, 11, 3, 5, 1, 37, tzinfo=UTC)),
    ],
)
def test_validity(name: str, end: datetime):
    assert validity_in((DATA / name).read_bytes()) == Validity(not_before=START, not_after=end)


def test_validity_beside_a_key():
    key = b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
    found = validity_in(key + CLIENT + key)
    assert found is not None
    assert found.not_before == START


@pytest.mark.parametrize("pem", [b"", b"x", CLIENT[:200], CLIENT.replace(b"M", b"A", 1)])
def test_no_certificate_has_no_validity(pem: bytes):
    assert validity_in(pem) is None


@settings(max_examples=150, deadline=None)
@given(st.integers(28, len(CLIENT) - 28), st.binary(max_size=8))
def test_damaged_certificate_has_a_validity_or_none(place: int, damage: bytes):
    found = validity_in(CLIENT[:place] + damage + CLIENT[place + len(damage) :])
    assert found is None or found.not_before.tzinfo is UTC
