"""A body cut into values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.rpc.gateway.decode import JsonError
from kvorum.rpc.gateway.values import ValueReader

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def all_of(reader: ValueReader, *, ended: bool = False) -> list[str]:
    found = []
    while (text := reader.take(ended=ended)) is not None:
        found.append(text)
    return found


@given(
    values=st.lists(VALUES, max_size=5),
    space=st.sampled_from([" ", "\n", " \r\n\t"]),
    size=st.integers(1, 20),
)
def test_the_values_are_the_same_wherever_the_body_is_cut(
    values: list[Any], space: str, size: int
) -> None:
    body = space.join(map(json.dumps, values)).encode()
    reader = ValueReader(1000)
    found = []
    for at in range(0, len(body), size):
        reader.feed(body[at : at + size])
        found += all_of(reader)
    found += all_of(reader, ended=True)
    assert [json.loads(text) for text in found] == values


def test_a_value_is_there_with_its_last_byte() -> None:
    reader = ValueReader(100)
    body = b'{"a":"}\\"]","b":[{}]}'
    for byte in body[:-1]:
        reader.feed(bytes([byte]))
        assert reader.take() is None
    reader.feed(body[-1:])
    assert reader.take() == body.decode()
    assert reader.take(ended=True) is None


def test_objects_need_no_space_between_them() -> None:
    reader = ValueReader(100)
    reader.feed(b'{"a":1}{"b":2}[3]"x"')
    assert all_of(reader) == ['{"a":1}', '{"b":2}', "[3]", '"x"']


def test_what_is_left_at_the_end_is_a_value_to_be_refused() -> None:
    reader = ValueReader(100)
    reader.feed(b'{} {"a":')
    assert all_of(reader) == ["{}"]
    assert all_of(reader, ended=True) == ['{"a":']


@pytest.mark.parametrize("junk", ["}", "]", "}{", ",", "x x"])
def test_junk_does_not_wait_for_more(junk: str) -> None:
    reader = ValueReader(100)
    reader.feed(junk.encode() + b" ")
    assert reader.take() is not None


def test_a_value_above_the_limit_is_refused_before_its_end() -> None:
    reader = ValueReader(100)
    reader.feed(b'{"a":"' + b"x" * 90)
    assert reader.take() is None
    reader.feed(b"x" * 10)
    with pytest.raises(JsonError):
        reader.take()


def test_values_that_were_taken_are_not_kept() -> None:
    reader = ValueReader(100)
    for _ in range(1000):
        reader.feed(b'{"a":1} {"b"')
        assert reader.take() == '{"a":1}'
        assert reader.take() is None
        reader.feed(b":2}")
        assert reader.take() == '{"b":2}'
    assert reader.size <= 20
