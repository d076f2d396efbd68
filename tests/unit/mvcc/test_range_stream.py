"""A range in pieces: put together it is the range; in between, the store may do what it likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.errors import CompactedError, EmptyKeyError, FutureRevisionError, StatusError
from kvorum.mvcc.range_stream import KEYS_MAX, RangePieces, check_range_stream
from kvorum.proto.rpc_pb2 import RangeRequest, RangeResponse
from tests.unit.mvcc.stores import Client, open_client

ALL = {"key": b"\0", "range_end": b"\0"}
KIB = 1024


def pieces(
    client: Client,
    between: Callable[[], object] = lambda: None,
    *,
    bytes_target: int = 64 * KIB,
    **fields: Any,
) -> list[RangeResponse]:
    """The pieces of a range; `between` is called after each."""
    found = []
    for piece in RangePieces(client.store, RangeRequest(**fields), bytes_target):
        found.append(RangeResponse.FromString(piece))
        between()
    return found


def merged(parts: list[RangeResponse]) -> RangeResponse:
    whole = RangeResponse()
    for part in parts:
        whole.MergeFrom(part)
    return whole


def fill(client: Client, count: int, value: bytes = b"v") -> None:
    for number in range(count):
        client.put(b"k%05d" % number, value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit": 7},
        {"limit": 10},
        {"limit": 123},
        {"limit": 1000},
        {"keys_only": True},
        {"count_only": True},
        {"count_only": True, "limit": 3},
        {"revision": 60},
        {"revision": 60, "limit": 20},
        {"sort_order": RangeRequest.ASCEND},
        {"key": b"k00042", "range_end": b""},
        {"key": b"none", "range_end": b""},
        {"key": b"z", "range_end": b"a"},
    ],
    ids=str,
)
def test_the_pieces_put_together_are_the_range(client: Client, options: dict[str, Any]) -> None:
    fill(client, 200)
    client.delete(b"k00010", b"k00020")
    request = ALL | options
    parts = pieces(client, **request)
    assert merged(parts) == client.range(**request)
    assert [part.count for part in parts[:-1]] == [0] * (len(parts) - 1)


def test_the_first_piece_is_small_and_the_next_ones_grow(client: Client) -> None:
    fill(client, 200)
    assert [len(part.kvs) for part in pieces(client, **ALL)] == [10, 20, 40, 80, 50]


def test_pieces_of_long_values_stay_below_the_target_and_one_value(client: Client) -> None:
    fill(client, 300, b"s")
    fill(client, 60, b"l" * 20 * KIB)
    parts = pieces(client, **ALL)
    assert merged(parts) == client.range(**ALL)
    assert max(part.ByteSize() for part in parts) < (64 + 21) * KIB


def test_a_piece_has_a_highest_number_of_keys(client: Client) -> None:
    fill(client, 3 * KEYS_MAX, b"")
    sizes = [len(part.kvs) for part in pieces(client, bytes_target=1 << 30, **ALL)]
    assert max(sizes) == KEYS_MAX
    assert sum(sizes) == 3 * KEYS_MAX


def test_what_is_written_meanwhile_is_not_seen(client: Client) -> None:
    fill(client, 100)
    before = client.range(**ALL)
    writes = iter(range(1000))

    def write() -> None:
        number = next(writes)
        client.put(b"k%05d" % (99 - number), b"new")
        client.put(b"m%05d" % number, b"new")
        client.delete(b"k%05d" % (50 + number))

    parts = pieces(client, write, **ALL)
    assert len(parts) > 3
    assert merged(parts) == before


def test_the_newest_revision_is_told_as_of_the_beginning(client: Client) -> None:
    fill(client, 20)
    stream = RangePieces(client.store, RangeRequest(**ALL, revision=5), 64 * KIB)
    client.put(b"a")
    assert (stream.newest, len(list(stream))) == (21, 1)


def test_a_compaction_meanwhile_ends_it(client: Client) -> None:
    fill(client, 100)
    stream = RangePieces(client.store, RangeRequest(**ALL), 64 * KIB)
    next(stream)
    client.put(b"x")
    client.compact(client.store.revision)
    with pytest.raises(CompactedError):
        next(stream)


def test_a_compaction_up_to_its_own_revision_does_not(client: Client) -> None:
    fill(client, 100)
    before = client.range(**ALL)
    stream = RangePieces(client.store, RangeRequest(**ALL), 64 * KIB)
    first = RangeResponse.FromString(next(stream))
    client.put(b"x")
    client.compact(client.store.revision - 1)
    assert merged([first, *map(RangeResponse.FromString, stream)]) == before


def test_revisions_that_are_not_there_are_refused(client: Client) -> None:
    fill(client, 10)
    client.compact(8)
    for revision, error in ((7, CompactedError), (12, FutureRevisionError)):
        with pytest.raises(error):
            RangePieces(client.store, RangeRequest(**ALL, revision=revision), 64 * KIB)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"sort_order": RangeRequest.DESCEND}, "RangeStream does not support custom sort orders"),
        (
            {"sort_order": RangeRequest.ASCEND, "sort_target": RangeRequest.MOD},
            "RangeStream does not support custom sort orders",
        ),
        ({"min_mod_revision": 1}, "RangeStream does not support revision filters"),
        ({"max_create_revision": 1}, "RangeStream does not support revision filters"),
    ],
)
def test_what_cannot_be_streamed_is_unimplemented(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(StatusError) as caught:
        check_range_stream(RangeRequest(key=b"k", **fields))
    assert (caught.value.status.name, caught.value.message) == ("UNIMPLEMENTED", text)


def test_a_range_without_a_key_is_refused_as_ever() -> None:
    with pytest.raises(EmptyKeyError):
        check_range_stream(RangeRequest(min_mod_revision=1))


@settings(max_examples=60)
@given(
    keys=st.lists(st.binary(min_size=1, max_size=3), max_size=40),
    deleted=st.lists(st.binary(min_size=1, max_size=2), max_size=5),
    start=st.binary(min_size=1, max_size=2),
    end=st.binary(max_size=2),
    limit=st.integers(0, 30),
    back=st.integers(0, 20),
    target=st.sampled_from([1, 40, 4096]),
)
def test_any_range_in_pieces_is_that_range(
    keys: list[bytes],
    deleted: list[bytes],
    start: bytes,
    end: bytes,
    limit: int,
    back: int,
    target: int,
) -> None:
    with open_client() as client:
        for key in keys:
            client.put(key, key * 3)
        for key in deleted:
            client.delete(key, key + b"\xff")
        revision = max(client.store.revision - back, 1)
        request = {"key": start, "range_end": end, "limit": limit, "revision": revision}
        assert merged(pieces(client, bytes_target=target, **request)) == client.range(**request)
