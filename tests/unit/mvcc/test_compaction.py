from __future__ import annotations

import pytest

from kvorum.errors import CompactedError, FutureRevisionError
from kvorum.mvcc.hashing import HashKV
from kvorum.mvcc.rules import V3_5
from kvorum.storage.buckets import (
    FINISHED_COMPACT_REV,
    META,
    SCHEDULED_COMPACT_REV,
    revision_key,
    tombstone_key,
)
from tests.unit.mvcc.stores import Client, open_client


def stored(client: Client) -> tuple[bytes | None, bytes | None]:
    return (
        client.backend.get(META, SCHEDULED_COMPACT_REV),
        client.backend.get(META, FINISHED_COMPACT_REV),
    )


def row_keys(client: Client) -> list[bytes]:
    return [row for row, _ in client.rows()]


def test_reads_below_are_refused_as_soon_as_it_is_scheduled(client: Client) -> None:
    for _ in range(3):
        client.put(b"a")
    client.store.compact(3)
    assert client.store.compact_revision == 3
    with pytest.raises(CompactedError):
        client.range(b"a", revision=2)
    assert len(client.rows()) == 3
    assert client.range(b"a", revision=3).kvs[0].version == 2


@pytest.mark.parametrize("revision", [-5, 0, 1, 3])
def test_a_revision_at_or_below_the_last_one_is_refused(client: Client, revision: int) -> None:
    client.put(b"a")
    client.put(b"a")
    client.compact(3)
    with pytest.raises(CompactedError):
        client.store.compact(revision)


def test_a_revision_in_the_future_is_refused(client: Client) -> None:
    with pytest.raises(FutureRevisionError):
        client.store.compact(2)
    assert stored(client) == (None, None)


def test_a_store_that_was_never_compacted_can_be_at_0_as_in_stock(client: Client) -> None:
    with pytest.raises(CompactedError):
        client.store.compact(-1)
    client.compact(0)
    assert client.store.compact_revision == 0
    client.restart()
    assert client.store.compact_revision == 0


def test_what_is_scheduled_and_what_is_finished_is_stored(client: Client) -> None:
    for _ in range(4):
        client.put(b"a")
    client.store.compact(4)
    assert stored(client) == (revision_key(4, 0), None)
    client.finish_compactions()
    assert stored(client) == (revision_key(4, 0), revision_key(4, 0))


def test_one_revision_of_each_key_alive_is_kept(client: Client) -> None:
    client.put(b"a")  # 2
    client.put(b"b")  # 3
    client.put(b"a")  # 4
    client.delete(b"b")  # 5
    client.put(b"b")  # 6
    client.put(b"a")  # 7
    client.compact(6)
    assert row_keys(client) == [revision_key(4, 0), revision_key(6, 0), revision_key(7, 0)]


def test_a_tombstone_at_the_compaction_revision_stays_until_the_next_one() -> None:
    with open_client() as client:
        client.put(b"a")
        client.delete(b"a")
        client.compact(3)
        assert row_keys(client) == [tombstone_key(3, 0)]
        client.put(b"b")
        client.compact(4)
        assert row_keys(client) == [revision_key(4, 0)]


def test_older_versions_remove_such_a_tombstone_at_once() -> None:
    with open_client(rules=V3_5) as client:
        client.put(b"a")
        client.delete(b"a")
        client.compact(3)
        assert row_keys(client) == []


def test_it_goes_on_in_steps_while_writers_write(client: Client) -> None:
    for n in range(100):
        client.put(b"k%d" % (n % 10), b"old")
    compaction = client.store.compact(101)
    steps = 0
    while client.store.step_compaction(7):
        steps += 1
        client.put(b"k%d" % (steps % 10), b"new")
        assert client.range(b"k", b"l", count_only=True).count == 10
        assert client.range(b"k", b"l", revision=101).kvs[0].value == b"old"
    assert steps == 13
    assert compaction.done
    assert compaction.rows_removed == 90
    assert len(client.rows()) == 10 + steps


def test_compactions_are_done_one_after_another(client: Client) -> None:
    finished = []
    for _ in range(9):
        client.put(b"a")
    for revision in (3, 5, 9):
        compaction = client.store.compact(revision)
        compaction.on_done = lambda revision=revision: finished.append(revision)
    assert client.store.compact_revision == 9
    while client.store.step_compaction(1):
        pass
    assert finished == [3, 5, 9]
    assert row_keys(client) == [revision_key(9, 0), revision_key(10, 0)]


def test_a_restart_goes_on_with_what_was_scheduled(client: Client) -> None:
    for n in range(20):
        client.put(b"k%d" % (n % 4))
    client.store.compact(15)
    client.store.step_compaction(3)
    client.restart()
    assert client.store.compact_revision == 15
    with pytest.raises(CompactedError):
        client.range(b"k0", revision=14)
    client.finish_compactions()
    assert stored(client) == (revision_key(15, 0), revision_key(15, 0))
    assert row_keys(client) == [revision_key(main, 0) for main in range(12, 22)]


def test_a_compaction_without_anything_to_do_is_finished_at_once(client: Client) -> None:
    client.put(b"a")
    compaction = client.store.compact(2)
    assert not client.store.step_compaction()
    assert compaction.done
    assert not client.store.step_compaction()


def test_nothing_is_removed_under_a_hash_that_runs(client: Client) -> None:
    for _ in range(5):
        client.put(b"a")
    job = HashKV(client.store)
    client.store.compact(6)
    assert not client.store.step_compaction()
    assert len(client.rows()) == 5
    job.close()
    assert client.store.step_compaction()
