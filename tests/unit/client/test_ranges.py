from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvorum.client import EVERYTHING_AFTER, from_key_range, prefix_end, prefix_range


@given(st.binary(min_size=1, max_size=6), st.binary(max_size=8))
def test_a_key_is_in_the_range_of_a_prefix_exactly_when_it_begins_with_it(
    prefix: bytes, key: bytes
) -> None:
    start, end = prefix_range(prefix)
    inside = start <= key and (end == EVERYTHING_AFTER or key < end)
    assert inside == key.startswith(prefix)


def test_the_end_of_a_prefix_carries_over_ff_bytes() -> None:
    assert prefix_end(b"a\xff\xff") == b"b"
    assert prefix_end(b"\xff\xff") == EVERYTHING_AFTER


def test_an_empty_prefix_and_from_an_empty_key_are_everything() -> None:
    assert prefix_range(b"") == (b"\x00", b"\x00")
    assert from_key_range(b"") == (b"\x00", b"\x00")
    assert from_key_range(b"k") == (b"k", b"\x00")
