from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import CorruptionError
from kvorum.mvcc.revision import (
    TOMBSTONE_MARK,
    check_row,
    first_row,
    is_tombstone,
    main_of,
    row_key,
)
from kvorum.storage.buckets import revision_key, tombstone_key

MAINS = st.integers(0, (1 << 63) - 2)
SUBS = st.integers(0, (1 << 63) - 1)


@given(main=MAINS, sub=SUBS)
def test_row_keys_are_those_of_the_bucket_schema(main: int, sub: int) -> None:
    row = row_key(main, sub)
    assert row == revision_key(main, sub)
    assert row + TOMBSTONE_MARK == tombstone_key(main, sub)
    assert main_of(row) == main_of(row + TOMBSTONE_MARK) == main
    assert not is_tombstone(row)
    assert is_tombstone(row + TOMBSTONE_MARK)
    check_row(row)
    check_row(row + TOMBSTONE_MARK)


@given(first=st.tuples(MAINS, SUBS), second=st.tuples(MAINS, SUBS))
def test_row_keys_sort_as_revisions_do(first: tuple[int, int], second: tuple[int, int]) -> None:
    assert (row_key(*first) < row_key(*second)) == (first < second)


@given(main=MAINS, sub=SUBS)
def test_a_bound_parts_the_rows_of_a_revision_from_those_before(main: int, sub: int) -> None:
    assert first_row(main) < row_key(main, sub) + TOMBSTONE_MARK < first_row(main + 1)


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"short",
        row_key(5)[:-1],
        row_key(5) + b"x",
        row_key(5) + b"tt",
        row_key(5).replace(b"_", b"-"),
        b"\x80" + row_key(5)[1:],
        b"\n" * 8 + b"_" + b"\xff" * 8,
    ],
)
def test_what_is_no_row_key_is_refused_as_damage(row: bytes) -> None:
    with pytest.raises(CorruptionError, match="is no revision"):
        check_row(row)


def test_a_row_key_with_line_feeds_in_its_numbers_is_one() -> None:
    check_row(row_key(10, 0x0A0A))
