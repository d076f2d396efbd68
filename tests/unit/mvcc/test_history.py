from __future__ import annotations

import pytest

from kvorum.errors import CompactedError
from tests.unit.mvcc.stores import Client, put_op


def told(client: Client, start: int, end: int, chunk_rows: int = 1000) -> list[tuple]:
    return [
        (revision, [(event.is_delete, event.key, event.frame()) for event in events])
        for revision, events in client.store.events_between(start, end, chunk_rows)
    ]


def live(client: Client) -> list[tuple]:
    return [
        (revision, [(event.is_delete, event.key, event.frame()) for event in events])
        for revision, events in client.events
    ]


def fill(client: Client) -> None:
    client.put(b"a", b"1", lease=7)
    client.txn(put_op(b"b", b"2"), put_op(b"c", b"3"), put_op(b"d"))
    client.delete(b"a", b"c")
    client.put(b"a", b"4")


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 1000])
def test_history_tells_what_watchers_were_told(client: Client, chunk_rows: int) -> None:
    fill(client)
    assert told(client, 1, 5, chunk_rows) == live(client)
    assert told(client, 3, 4, chunk_rows) == live(client)[1:3]
    assert told(client, 0, 1 << 62, chunk_rows) == live(client)


def test_events_know_the_numbers_of_their_key(client: Client) -> None:
    client.put(b"a")
    client.put(b"a")
    ((_, (event,)),) = client.store.events_between(3, 3)
    assert (event.create_revision, event.mod_revision, event.version) == (2, 3, 2)


def test_history_before_the_compaction_revision_is_refused_at_once(client: Client) -> None:
    fill(client)
    client.store.compact(4)
    with pytest.raises(CompactedError):
        client.store.events_between(3, 5)
    assert [revision for revision, _ in told(client, 5, 5)] == [5]


def test_a_compaction_that_overtakes_a_reader_is_not_passed_over(client: Client) -> None:
    fill(client)
    client.backend.commit()  # rows of a batch come in one piece
    reader = client.store.events_between(2, 5, 1)
    assert next(reader)[0] == 2
    client.compact(5)
    with pytest.raises(CompactedError):
        list(reader)


def test_nothing_happened_in_the_future(client: Client) -> None:
    fill(client)
    assert told(client, 6, 10) == []
