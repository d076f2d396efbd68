from __future__ import annotations

import pytest

from kvorum.errors import CompactedError, CorruptionError, FutureRevisionError
from kvorum.mvcc.revision import NEVER_COMPACTED
from kvorum.mvcc.store import Store
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.storage.buckets import KEY, revision_key
from tests.unit.mvcc.stores import Client


def test_a_new_store_is_at_revision_1_and_never_compacted(client: Client) -> None:
    assert client.store.revision == 1
    assert client.store.compact_revision == NEVER_COMPACTED == -1


def test_all_changes_of_a_transaction_share_a_revision_and_count_subs(client: Client) -> None:
    txn = client.store.begin()
    assert txn.revision == 1
    assert txn.put(b"a", b"1") == 2
    assert txn.revision == 2
    assert client.store.revision == 1
    txn.put(b"b", b"2")
    assert txn.delete_range(b"a", None) == 1
    txn.end()
    assert client.store.revision == 2
    assert [row for row, _ in client.rows()] == [
        revision_key(2, 0),
        revision_key(2, 1),
        revision_key(2, 2) + b"t",
    ]


def test_a_transaction_that_changes_nothing_makes_no_revision(client: Client) -> None:
    txn = client.store.begin()
    assert txn.delete_range(b"a", b"") == 0
    txn.end()
    assert client.store.revision == 1
    assert client.events == []
    assert client.rows() == []


def test_watchers_hear_of_a_revision_once_with_all_its_events(client: Client) -> None:
    txn = client.store.begin()
    txn.put(b"a", b"1")
    txn.put(b"b", b"2")
    txn.end()
    client.delete(b"a", b"z")
    revisions = [
        (revision, [(event.is_delete, event.key, event.mod_revision) for event in events])
        for revision, events in client.events
    ]
    assert revisions == [
        (2, [(False, b"a", 2), (False, b"b", 2)]),
        (3, [(True, b"a", 3), (True, b"b", 3)]),
    ]
    _, (put, _) = client.events[0]
    assert KeyValue.FromString(put.kv) == client.get(b"a", 2)
    assert (put.create_revision, put.version) == (2, 1)
    _, (deletion, _) = client.events[1]
    assert KeyValue.FromString(deletion.kv) == KeyValue(key=b"a", mod_revision=3)


def test_a_store_nobody_watches_makes_no_events(client: Client) -> None:
    store = Store(client.backend, client.book)
    txn = store.begin()
    txn.put(b"a", b"1")
    txn.end()
    assert store.revision == 2


def test_there_is_one_write_transaction_at_a_time(client: Client) -> None:
    txn = client.store.begin()
    with pytest.raises(AssertionError):
        client.store.begin()
    txn.end()
    client.store.begin().end()


def test_a_key_moves_between_leases(client: Client) -> None:
    book = client.book.keys
    client.put(b"a", lease=7)
    client.put(b"b", lease=7)
    assert book == {7: {b"a", b"b"}, 8: set()}
    client.put(b"a", lease=8)
    assert book == {7: {b"b"}, 8: {b"a"}}
    client.put(b"a", b"same lease", lease=8)
    assert book == {7: {b"b"}, 8: {b"a"}}
    client.put(b"a")
    client.delete(b"b")
    assert book == {7: set(), 8: set()}
    assert client.store.leases == {}


def test_a_lease_that_is_gone_is_told_nothing(client: Client) -> None:
    client.put(b"a", lease=7)
    del client.book.keys[7]
    client.delete(b"a")
    assert client.store.leases == {}


def test_kv_at_gives_what_a_key_held(client: Client) -> None:
    client.put(b"a", b"1")
    client.put(b"a", b"2")
    client.delete(b"a")
    held = [client.store.kv_at(b"a", revision) for revision in range(1, 6)]
    values = [None if kv is None else KeyValue.FromString(kv).value for kv in held]
    assert values == [None, b"1", b"2", None, None]
    client.compact(3)
    with pytest.raises(CompactedError):
        client.store.kv_at(b"a", 2)
    assert client.store.kv_at(b"a", 3) is not None


def test_revisions_that_cannot_be_read_are_refused(client: Client) -> None:
    client.put(b"a")
    client.put(b"a")
    client.store.compact(2)
    with pytest.raises(FutureRevisionError):
        client.range(b"a", revision=4)
    with pytest.raises(CompactedError):
        client.range(b"a", revision=1)
    assert client.range(b"a", revision=2).count == 1


def test_a_row_that_has_gone_is_damage_and_no_empty_answer(client: Client) -> None:
    client.put(b"a")
    client.put(b"b")
    client.backend.delete(KEY, revision_key(2, 0))
    with pytest.raises(CorruptionError, match="is gone"):
        client.range(b"a")
    with pytest.raises(CorruptionError, match="is gone"):
        client.range(b"a", b"z")


def test_the_counters_tell_what_was_done(client: Client) -> None:
    client.put(b"abc", b"12345")
    client.range(b"abc")
    client.delete(b"abc")
    client.txn()
    client.compact(3)
    counters = client.store.counters
    assert (counters.puts, counters.put_bytes, counters.deletes) == (1, 8, 1)
    assert (counters.ranges, counters.txns, counters.rows_compacted) == (1, 0, 1)
