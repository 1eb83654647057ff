"""Two JSON values are written alike if and only if they are the same, types and order included."""

import math
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_sft.text.exact import again, exactly

VALUES: list[Any] = [
    *(None, False, True, 0, 1, -1, 1.0, 0.0, -0.0, math.inf, math.nan, 2**70, "", "1", "a", "é", "\ud800"),
    *([], {}, [[]], [{}], [1], [1.0], [True], ["a", "b"], ["ab"], ["b", "a"], {"a": 1}, {"a": 1.0}, {"a": None}),
    *({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": {"b": 2}}, {"a": [1, 2]}),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_different_values_are_written_differently() -> None:
    written = [exactly(value) for value in VALUES]
    assert None not in written
    assert len(set(written)) == len(VALUES)


@given(value=JSON)
def test_what_was_written_is_the_value_again_and_is_written_alike(value: Any) -> None:
    written = exactly(value)
    assert written is not None
    assert repr(again(written)) == repr(value)
    assert exactly(again(written)) == written


def test_who_else_holds_a_value_makes_no_difference() -> None:
    text, inner = "".join(["shared", " text"]), [1]
    assert exactly([text, text, inner, inner]) == exactly(["".join(["shared", " text"]), "shared text", [1], [1]])


class _One(IntEnum):
    ONE = 1


def _deep() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [_One.ONE, [object()], _deep()], ids=["enum", "object", "deep"])
def test_what_is_not_plain_json_or_nests_too_deep_is_not_written(value: Any) -> None:
    assert exactly(value) is None
