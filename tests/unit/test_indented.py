"""Our indented JSON against the standard library's, byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtscope.render.indented import indented

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=24,
)


@given(VALUES)
def test_it_is_the_standard_librarys_text(value: Any) -> None:
    assert indented(value) == json.dumps(value, indent=2)


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [], "c": {}, "d": [{"e": 1}, [2.5]]}, "f": "\ud800\x1b\n"},
        [[], {}, [[]], [{}], [None, True, False]],
        {"empty": {}, "list": [{"a": None, "b": True}, {"a": "x"}]},
    ],
)
def test_nested_and_empty_members(value: Any) -> None:
    assert indented(value) == json.dumps(value, indent=2)
