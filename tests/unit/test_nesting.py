"""JSON that is nested too deep to be read, made readable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.nesting import DEEPEST, flattened

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def nested(depth: int, inside: str = "1") -> str:
    return "[" * depth + inside + "]" * depth


@given(values, st.booleans())
def test_what_can_be_read_is_left_alone(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped)

    assert flattened(text) == text


@pytest.mark.parametrize("depth", [DEEPEST + 1, 5_000, 400_000])
def test_what_is_too_deep_becomes_text_and_its_siblings_are_as_before(depth: int) -> None:
    deep = nested(depth - 1, '{"a": "]]]}}\\"[[[", "b": "\\\\"}')
    read = json.loads(flattened(f'{{"before": [1, {{"x": []}}], "deep": {deep}, "after": {{"y": "z"}}}}'))

    assert (read["before"], read["after"]) == ([1, {"x": []}], {"y": "z"})
    cut = read["deep"]
    while isinstance(cut, list):
        (cut,) = cut
    assert cut in deep
    assert len(cut) > len(deep) - 2 * DEEPEST


def test_every_part_that_is_too_deep_is_replaced() -> None:
    text = f"[{nested(500)}, {nested(3)}, {nested(500)}]"

    first, second, third = json.loads(flattened(text))

    assert first == third
    assert second == [[[1]]]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5_000, nested(500)[:-1], '["' + "[" * 500, "]" * 500])
def test_what_is_no_json_becomes_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (json's own error is one)
        json.loads(flattened(text))


@given(st.text(alphabet='[]{}"\\a,:1 '))
def test_no_text_is_too_odd(text: str) -> None:
    flattened(text)
