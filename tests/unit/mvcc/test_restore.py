from __future__ import annotations

from collections.abc import Generator
from random import Random

import pytest

from kvorum.errors import CorruptionError
from kvorum.mvcc import restore
from kvorum.mvcc.keyvalue import encode_put, mod_field
from kvorum.storage.buckets import (
    FINISHED_COMPACT_REV,
    KEY,
    META,
    SCHEDULED_COMPACT_REV,
    revision_key,
    tombstone_key,
)
from kvorum.storage.lmdb_file import LmdbFile
from tests.unit.mvcc.stores import Client

ALL = (b"\0", b"\0")


def test_a_restart_changes_nothing_that_can_be_asked(client: Client) -> None:
    client.put(b"a", b"1", lease=7)
    client.put(b"b", b"2")
    client.put(b"a", b"3", lease=8)
    client.delete(b"b")
    client.put(b"b", b"4")
    asked = [client.range(*ALL, revision=revision) for revision in range(1, 7)]
    book = {lease: set(keys) for lease, keys in client.book.keys.items()}
    client.backend.commit()
    client.restart()
    assert client.store.revision == 6
    assert [client.range(*ALL, revision=revision) for revision in range(1, 7)] == asked
    assert client.book.keys == book
    assert client.store.leases == {b"a": 8}
    counts = [client.store.index.count_at(b"", b"", revision) for revision in range(1, 7)]
    assert counts == [0, 1, 2, 2, 1, 2]


def test_a_key_goes_on_counting_after_its_first_revisions_were_compacted(client: Client) -> None:
    for _ in range(5):
        client.put(b"a")
    client.compact(5)
    client.restart()
    client.put(b"a")
    kv = client.get(b"a")
    assert kv is not None
    assert (kv.create_revision, kv.mod_revision, kv.version) == (2, 7, 6)


def test_a_lease_that_is_gone_does_not_stop_the_start(client: Client) -> None:
    client.put(b"a", lease=7)
    del client.book.keys[7]
    client.restart()
    assert client.book.keys == {8: set()}
    kv = client.get(b"a")
    assert kv is not None
    assert kv.lease == 7


def test_the_revision_is_at_least_that_of_the_compactions(client: Client) -> None:
    """A compaction may have removed every row, the newest too."""
    client.backend.put(META, SCHEDULED_COMPACT_REV, revision_key(40, 0))
    client.restart()
    assert (client.store.revision, client.store.compact_revision) == (40, 40)
    client.backend.put(META, FINISHED_COMPACT_REV, revision_key(40, 0))
    client.restart()
    assert (client.store.revision, client.store.compact_revision) == (40, 40)
    assert not client.store.compactions


def test_the_row_of_a_bumped_revision_is_no_key_of_anybody(client: Client) -> None:
    client.put(b"a")
    client.backend.put(KEY, revision_key(1_000_000_000, 0), b"")
    client.restart()
    assert client.store.revision == 1_000_000_000
    assert client.range(*ALL).count == 1
    assert client.keys(*ALL) == [b"a"]
    assert [revision for revision, _ in client.store.events_between(1, 1 << 40)] == [2]
    client.compact(1_000_000_000)
    client.put(b"b")
    client.restart()
    assert client.keys(*ALL) == [b"a", b"b"]
    assert client.store.revision == 1_000_000_001
    assert len(client.rows()) == 3


def test_a_tombstone_whose_key_is_gone_is_removed_by_the_next_compaction(client: Client) -> None:
    client.backend.put(KEY, tombstone_key(5, 3), b"\x0a\x01a")
    client.restart()
    assert client.store.revision == 5
    assert client.keys(*ALL) == []
    client.put(b"b")
    client.compact(6)
    assert [row for row, _ in client.rows()] == [revision_key(6, 0)]


def test_a_tombstone_after_a_tombstone_is_lived_with(client: Client) -> None:
    """No store writes one; a damaged one was seen to."""
    client.put(b"a")
    for main in (3, 4):
        client.backend.put(KEY, tombstone_key(main, 0), b"\x0a\x01a")
    client.restart()
    assert client.keys(*ALL) == []
    client.put(b"a")
    client.compact(5)
    assert [row for row, _ in client.rows()] == [revision_key(5, 0)]


def test_rows_that_no_store_writes_are_damage(client: Client) -> None:
    client.backend.put(KEY, b"junk", b"")
    with pytest.raises(CorruptionError, match="is no revision"):
        client.restart()
    client.backend.delete(KEY, b"junk")
    client.backend.put(KEY, revision_key(2, 0), b"\xff\xff")
    with pytest.raises(CorruptionError, match="is no KeyValue"):
        client.restart()


def test_a_snapshot_of_another_member_replaces_everything(client: Client) -> None:
    client.put(b"mine")
    for row, _ in client.rows():
        client.backend.delete(KEY, row)
    stored = encode_put(b"theirs", 7, mod_field(9), 3, b"v", 8)
    client.backend.put(KEY, revision_key(9, 0), stored)
    client.book.keys[7].clear()
    client.store.reload(client.backend)
    assert client.store.revision == 9
    assert client.keys(*ALL) == [b"theirs"]
    assert client.book.keys[8] == {b"theirs"}


def test_reading_in_steps_gives_what_reading_at_once_gives(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "STEP_ROWS", 7)
    monkeypatch.setattr(restore, "STEP_KEYS", 32)
    rng = Random(3)
    for _ in range(1500):
        key = b"%d" % rng.randrange(400)
        if rng.random() < 0.3:
            client.delete(key)
        else:
            client.put(key, lease=rng.choice([0, 7, 8]))
        if rng.random() < 0.002:
            client.compact(client.store.revision - 20)
    client.backend.commit()
    client.restart()
    with LmdbFile.open(client.backend.path) as database:
        read, count = all_steps(restore.read_index(database, client.store.rules))
    store = client.store
    assert count > 100
    assert read.index.records == store.index.records
    assert list(read.index.live) == list(store.index.live)
    assert list(read.index.dead) == list(store.index.dead) != []
    assert read.leases == store.leases
    assert (read.revision, max(read.finished, read.scheduled)) == (
        store.revision,
        store.compact_revision,
    )
    index = store.index
    before = [index.count_at(b"", b"", revision) for revision in range(1400, store.revision)]
    for keys in client.book.keys.values():
        keys.clear()
    store.reload(client.backend, read)
    assert store.index is read.index
    after = [store.index.count_at(b"", b"", revision) for revision in range(1400, store.revision)]
    assert after == before


def all_steps(
    steps: Generator[None, None, restore.StoredIndex],
) -> tuple[restore.StoredIndex, int]:
    """What the steps come to, and how many there were."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return ended.value, count
        count += 1


def test_an_index_that_is_taken_apart_holds_nothing(client: Client) -> None:
    for number in range(2500):
        client.put(b"%d" % number)
    restore.take_apart(client.store.index)
    assert not client.store.index.records
    assert not client.store.index.live
