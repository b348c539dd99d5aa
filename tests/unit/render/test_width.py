import pytest

from rtscope.render.width import cut, pad, width


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("ü", 1), ("🙂", 2), ("", 0)]
)
def test_width_counts_cells(text, cells):
    assert width(text) == cells


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 4, "abc…"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("abc", 0, ""),
        ("abc", 1, "…"),
    ],
)
def test_cut_fits_and_says_so(text, limit, shown):
    assert cut(text, limit) == shown
    assert width(cut(text, limit)) <= limit


def test_pad_counts_cells_not_characters():
    assert pad("日", 4) == "日  "
    assert pad("7", 3, is_right=True) == "  7"
