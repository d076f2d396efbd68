"""Hashes that compactions make: alike on members that made the same compactions."""

from __future__ import annotations

import google_crc32c
import pytest

from kvorum.mvcc.compaction_hash import HASHES_KEPT
from kvorum.mvcc.hashing import HashKV
from kvorum.mvcc.rules import V3_5
from kvorum.storage.buckets import KEY
from tests.unit.mvcc.stores import Client, open_client


def compacted(client: Client, revision: int) -> int:
    """The hash that a compaction there makes."""
    client.store.compaction_hashes.enabled = True
    client.compact(revision)
    made = client.store.compaction_hashes.at(revision)
    assert made is not None
    return made.value


def crc_of(rows: list[tuple[bytes, bytes]]) -> int:
    crc = int(google_crc32c.extend(0, KEY.name))
    for key, value in rows:
        crc = int(google_crc32c.extend(crc, key + value))
    return crc


def write(client: Client, count: int = 9) -> None:
    client.put(b"kz", b"once")
    for number in range(count):
        client.put(b"k%d" % (number % 3), b"v%d" % number)


def test_the_first_one_covers_all_rows_up_to_its_revision(client: Client) -> None:
    write(client)
    rows = [row for row in client.rows() if int.from_bytes(row[0][:8], "big") <= 7]
    assert compacted(client, 7) == crc_of(rows)


def test_the_next_one_covers_all_since_the_last_one_and_what_is_kept_of_before(
    client: Client,
) -> None:
    write(client)
    compacted(client, 5)
    rows = client.rows()
    kept = {row.mod_revision for row in client.range(b"k", b"l", revision=8).kvs}
    expected = [
        row
        for row in rows
        if 5 < int.from_bytes(row[0][:8], "big") <= 8 or int.from_bytes(row[0][:8], "big") in kept
    ]
    assert compacted(client, 8) == crc_of(expected)


def test_it_does_not_matter_how_far_the_last_one_has_got() -> None:
    """A member that has not removed the rows of the last compaction yet hashes as one that has."""
    values = []
    for finish_first in (True, False):
        with open_client() as client:
            client.store.compaction_hashes.enabled = True
            write(client)
            client.store.compact(5)
            if finish_first:
                client.finish_compactions()
            client.store.compact(8)
            client.finish_compactions()
            made = client.store.compaction_hashes.at(8)
            assert made is not None
            assert made.compact_revision == 5
            values.append(made.value)
    assert values[0] == values[1]


def test_a_damaged_row_changes_it() -> None:
    values = []
    for damage in (False, True):
        with open_client() as client:
            write(client)
            if damage:
                row, value = client.rows()[0]
                client.backend.put(KEY, row, value + b"x")
            values.append(compacted(client, 7))
    assert values[0] != values[1]


def test_the_last_ten_are_kept(client: Client) -> None:
    write(client, 40)
    for revision in range(3, 3 + HASHES_KEPT + 2):
        compacted(client, revision)
    hashes = client.store.compaction_hashes
    assert [one.revision for one in hashes.newest_first()] == list(range(14, 4, -1))
    assert hashes.at(4) is None


def test_none_is_made_unless_asked_for(client: Client) -> None:
    write(client)
    client.compact(7)
    assert client.store.compaction_hashes.newest_first() == []


def test_none_is_made_of_a_compaction_that_a_restart_has_interrupted(client: Client) -> None:
    """A part of its rows is gone: nobody else could have the same hash."""
    client.store.compaction_hashes.enabled = True
    write(client)
    client.store.compact(7)
    client.restart()
    client.store.compaction_hashes.enabled = True
    client.finish_compactions()
    assert client.store.compaction_hashes.newest_first() == []


@pytest.mark.parametrize("revision", [4, 8])
def test_of_a_store_without_compactions_it_is_the_hash_of_its_keys(
    client: Client, revision: int
) -> None:
    write(client)
    job = HashKV(client.store, revision)
    while not job.step():
        pass
    assert compacted(client, revision) == job.result()


def emptied(client: Client) -> None:
    """Revisions 2 to 5, behind which no key is alive, then a later life of enough keys for the
    index to let go of the earlier ones."""
    client.put(b"a")
    client.put(b"b")
    client.delete(b"a")
    client.delete(b"b")
    for number in range(3000):
        client.put(b"n%04d" % number)


def test_a_later_compaction_does_not_change_what_one_before_it_hashes() -> None:
    values = []
    for together in (True, False):
        with open_client(rules=V3_5) as client:
            client.store.compaction_hashes.enabled = True
            emptied(client)
            client.compact(3)
            client.store.compact(5)
            if not together:
                client.finish_compactions()
            client.store.compact(3000)
            client.finish_compactions()
            made = client.store.compaction_hashes.at(5)
            assert made is not None
            values.append(made.value)
    assert values[0] == values[1]


def test_a_compaction_does_not_change_what_a_hash_of_keys_goes_on_with() -> None:
    values = []
    for meanwhile in (True, False):
        with open_client(rules=V3_5) as client:
            emptied(client)
            client.compact(4)
            job = HashKV(client.store, 5)
            if meanwhile:
                client.store.compact(3000)
            while not job.step():
                pass
            values.append((job.result(), job.compact_revision))
    assert values[0] == values[1]


def test_a_hash_of_rows_that_were_replaced_is_void(client: Client) -> None:
    write(client)
    job = HashKV(client.store)
    assert not job.is_void
    client.store.reload(client.backend)
    assert job.is_void
    job.close()


def test_a_store_that_is_replaced_ends_its_compactions(client: Client) -> None:
    """Who waits for the rows to be gone would wait for ever."""
    write(client)
    told: list[bool] = []
    compaction = client.store.compact(5)
    compaction.on_done = lambda: told.append(True)
    client.store.reload(client.backend)
    assert compaction.done
    assert told == [True]
