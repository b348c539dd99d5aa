from datetime import UTC, datetime, timedelta

import pytest

from rtscope.config.durations import parse_duration
from rtscope.errors import UsageError
from rtscope.render.units import (
    age_text,
    bytes_text,
    instant_text,
    ms_text,
    parse_instant,
    rfc3339,
    span_text,
)

NOW = datetime(2026, 11, 27, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"),
     (172800, "2d"), (3 * 365 * 86400, "3y")],
)  # fmt: skip
def test_age_has_one_number(seconds, text):
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("42s", 42), ("2h", 7200), ("1h30m", 5400), ("500ms", 0.5), ("2.5", 2.5),
     ("1d", 86400), (" 3S ", 3)],
)  # fmt: skip
def test_duration_is_read(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "10x", "-5s", "5s5", "1 h", "nan", "1e3"])
def test_duration_that_is_none_is_a_usage_error(text):
    with pytest.raises(UsageError):
        parse_duration(text)


def test_instant_is_a_span_or_rfc3339():
    assert parse_instant("10m", NOW) == NOW - timedelta(minutes=10)
    assert parse_instant("2026-11-27T04:00:00Z", NOW) == NOW - timedelta(minutes=10)
    assert parse_instant("2026-11-27T05:00:00+01:00", NOW) == NOW - timedelta(minutes=10)
    assert parse_instant("600", NOW) == NOW - timedelta(minutes=10)
    for text in ("yesterday", "99999999999999d", ""):
        with pytest.raises(UsageError):
            parse_instant(text, NOW)


def test_texts_of_numbers():
    assert [ms_text(n) for n in (None, 0.26, 12.4, 1250.0)] == ["-", "0.3", "12", "1250"]
    assert [bytes_text(n) for n in (0, 512, 1536, 20 << 20)] == ["0B", "512B", "1.5K", "20M"]
    assert [span_text(n) for n in (0.003, 1.5, 2, 130)] == ["3ms", "1.5s", "2s", "2m"]
    assert rfc3339(NOW) == "2026-11-27T04:10:00Z"
    assert instant_text(NOW, is_utc=True) == "2026-11-27 04:10:00Z"
