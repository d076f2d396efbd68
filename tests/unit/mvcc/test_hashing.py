"""Values of live stock members are compared in tests/interop/test_stock_hash.py."""

from __future__ import annotations

import google_crc32c
import pytest

from kvorum.errors import CompactedError, FutureRevisionError
from kvorum.mvcc.hashing import HASH_CHUNK_ROWS, HashKV, hash_all, hash_buckets
from kvorum.mvcc.rules import V3_4, V3_5, V3_6
from kvorum.storage.buckets import (
    BUCKETS,
    CONSISTENT_INDEX,
    KEY,
    LEASE,
    META,
    STORAGE_VERSION,
    TERM,
)
from tests.unit.mvcc.stores import Client, open_client

EMPTY = 1084519789  # of an empty stock store: CRC-32C of "key"


def crc(*parts: bytes) -> int:
    return int(google_crc32c.value(b"".join(parts)))


def joined(client: Client) -> bytes:
    return b"".join(row + value for row, value in client.rows())


def test_an_empty_store_has_the_hash_of_the_bucket_name(client: Client) -> None:
    assert client.store.hash_kv() == (EMPTY, -1, 1)
    assert crc(b"key") == EMPTY


def test_it_covers_every_row_up_to_the_revision(client: Client) -> None:
    client.put(b"a")
    client.delete(b"a")
    up_to_3 = crc(b"key", joined(client))
    client.put(b"b")
    assert client.store.hash_kv(3) == (up_to_3, -1, 4)
    assert client.store.hash_kv() == (crc(b"key", joined(client)), -1, 4)
    assert client.store.hash_kv(4) == client.store.hash_kv(0)


def test_it_does_not_matter_how_far_a_compaction_has_got(client: Client) -> None:
    for n in range(30):
        client.put(b"k%d" % (n % 7))
    client.delete(b"k3")
    client.store.compact(25)
    wanted = [client.store.hash_kv(revision)[0] for revision in range(25, 33)]
    while client.store.step_compaction(4):
        assert [client.store.hash_kv(revision)[0] for revision in range(25, 33)] == wanted
    assert len(set(wanted)) == 8
    client.restart()
    assert [client.store.hash_kv(revision)[0] for revision in range(25, 33)] == wanted


def test_a_tombstone_at_the_compaction_revision_does_not_count(client: Client) -> None:
    with open_client(rules=V3_5) as older:
        for each in (client, older):
            each.put(b"a")
            each.put(b"b")
            each.delete(b"a")
            each.compact(4)
            each.put(b"c")
        assert len(client.rows()) == len(older.rows()) + 1
        assert client.store.hash_kv(5) == older.store.hash_kv(5)


def test_revisions_that_cannot_be_hashed(client: Client) -> None:
    for _ in range(4):
        client.put(b"a")
    client.compact(3)
    with pytest.raises(FutureRevisionError):
        client.store.hash_kv(6)
    with pytest.raises(CompactedError):
        client.store.hash_kv(2)
    assert client.store.hash_kv(3)[1] == 3
    assert client.store.hash_kv(-1)[0] == EMPTY


def test_older_versions_do_not_hash_at_the_compaction_revision() -> None:
    with open_client(rules=V3_4) as client:
        for _ in range(3):
            client.put(b"a")
        client.compact(3)
        with pytest.raises(CompactedError):
            client.store.hash_kv(3)
        assert client.store.hash_kv(4)[1] == 3


def test_a_hash_in_steps_is_not_disturbed_by_writers(client: Client) -> None:
    txn = client.store.begin()
    for n in range(2 * HASH_CHUNK_ROWS):
        txn.put(b"%d" % n, b"v")
    txn.end()
    client.backend.commit()  # rows of a batch come in one piece
    wanted = client.store.hash_kv()[0]
    job, steps = HashKV(client.store), 0
    while not job.step():
        steps += 1
        client.put(b"5", b"new")
        client.delete(b"7")
    assert steps >= 2
    assert (job.result(), job.revision, job.current_revision) == (wanted, 2, 2)
    assert client.store.hash_kv(2)[0] == wanted


def test_hash_of_everything_covers_names_keys_and_values(client: Client) -> None:
    client.put(b"a", b"1")
    client.backend.put(LEASE, b"l" * 8, b"lease")
    client.backend.put(META, b"confState", b"{}")
    expected = b"".join(
        {
            KEY: b"key" + joined(client),
            LEASE: b"lease" + b"l" * 8 + b"lease",
            META: b"meta" + b"confState" + b"{}",
        }.get(bucket, bucket.name)
        for bucket in BUCKETS
    )
    assert hash_all(client.backend, V3_6.hash_ignored_meta) == crc(expected)


def test_what_differs_between_members_is_left_out_of_the_hash_by_version(client: Client) -> None:
    before = hash_all(client.backend, frozenset())
    for name in (CONSISTENT_INDEX, TERM, STORAGE_VERSION):
        client.backend.put(META, name, b"12345678")
    assert hash_all(client.backend, V3_6.hash_ignored_meta) == before
    hashes = {hash_all(client.backend, rules.hash_ignored_meta) for rules in (V3_6, V3_5, V3_4)} | {
        hash_all(client.backend, frozenset())
    }
    assert len(hashes) == 4


def test_buckets_may_come_from_anywhere() -> None:
    assert hash_buckets([(KEY, [[(b"k", b"v")], []]), (META, [])]) == crc(b"keykvmeta")
