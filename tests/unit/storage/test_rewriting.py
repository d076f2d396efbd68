"""A database is written anew while it is in use, and nothing of it is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from kvorum.storage import Backend
from kvorum.storage.buckets import AUTH_USERS, BUCKETS, KEY, LEASE, META, revision_key
from kvorum.storage.bulk import copy_database
from kvorum.storage.lmdb_file import LmdbFile
from kvorum.storage.rewriting import Rewrite, RewriteCancelledError

DEADLINE_S = 10.0
LONG = b"u" * 600  # longer than a key of LMDB


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    with Backend.open(tmp_path / "db", fsync=False, batch_interval_s=0) as opened:
        for number in range(2, 3000):
            opened.put(KEY, revision_key(number, 0), b"v%d" % number)
        opened.put(AUTH_USERS, LONG, b"user")
        opened.commit()
        yield opened


def rows_of(backend: Backend) -> dict[str, list[tuple[bytes, bytes]]]:
    return {
        bucket.name.decode(): list(chain.from_iterable(backend.scan(bucket))) for bucket in BUCKETS
    }


def copied(backend: Backend, path: Path) -> Rewrite:
    """A rewrite whose copy has been made, as the other process would."""
    rewrite = backend.begin_rewrite(path)
    with LmdbFile.open(backend.path) as source:
        copy_database(source, path)
    rewrite.open_copy()
    return rewrite


def bring_over(backend: Backend, rewrite: Rewrite) -> int:
    count = 0
    for piece in backend.pieces(rewrite):
        count += len(piece)
        rewrite.write(piece)
    return count


def hold(backend: Backend) -> None:
    backend.hold()
    give_up = time.monotonic() + DEADLINE_S
    while not backend.is_held:
        assert time.monotonic() < give_up
        backend.maybe_commit_nowait()


def settle(backend: Backend) -> None:
    wanted = backend.expedite()
    give_up = time.monotonic() + DEADLINE_S
    while backend.settled_count < wanted:
        assert time.monotonic() < give_up
        backend.maybe_commit_nowait()


def install(backend: Backend, rewrite: Rewrite) -> None:
    rewrite.flush()
    rewrite.is_final = True
    rewrite.install(backend.path)
    backend.take_over(rewrite)
    rewrite.close()


def test_the_copy_has_what_was_changed_meanwhile(backend: Backend, tmp_path: Path) -> None:
    rewrite = copied(backend, tmp_path / "db.tmp.1")
    backend.put(KEY, revision_key(3000, 0), b"added")
    backend.put(KEY, revision_key(5, 0), b"changed")
    backend.delete(KEY, revision_key(6, 0))
    backend.put(LEASE, b"12345678", b"lease")
    backend.put(AUTH_USERS, LONG, b"changed")
    backend.commit()
    assert bring_over(backend, rewrite) == 5
    backend.put(KEY, revision_key(3001, 0), b"in the last round")
    backend.maybe_commit_nowait()
    hold(backend)
    backend.put(META, b"term", bytes(8))  # held in memory
    wanted = rows_of(backend)
    assert bring_over(backend, rewrite) >= 1
    install(backend, rewrite)
    assert rows_of(backend) == wanted
    backend.commit()
    assert rows_of(backend) == wanted
    with LmdbFile.open(backend.path, live=False) as file:
        assert file.get(b"key", revision_key(3001, 0)) == b"in the last round"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "db-lock"]


def test_the_new_file_has_no_free_pages(backend: Backend, tmp_path: Path) -> None:
    for number in range(2, 3000):
        if number % 3:
            backend.delete(KEY, revision_key(number, 0))
    backend.commit()
    before = backend.size()
    rewrite = copied(backend, tmp_path / "db.tmp.1")
    hold(backend)
    bring_over(backend, rewrite)
    install(backend, rewrite)
    assert backend.size() < before
    assert backend.size() - backend.size_in_use() < 20 * 4096


def test_it_survives_being_opened_again(backend: Backend, tmp_path: Path) -> None:
    rewrite = copied(backend, tmp_path / "db.tmp.1")
    hold(backend)
    backend.put(KEY, revision_key(4000, 0), b"put while commits are held")
    bring_over(backend, rewrite)
    install(backend, rewrite)
    wanted = rows_of(backend)
    backend.close()
    with Backend.open(tmp_path / "db") as again:
        assert rows_of(again) == wanted


def test_a_reader_of_the_old_file_keeps_it(backend: Backend, tmp_path: Path) -> None:
    with LmdbFile.open(backend.path) as old:
        rewrite = copied(backend, tmp_path / "db.tmp.1")
        backend.delete(KEY, revision_key(2, 0))
        backend.commit()
        hold(backend)
        bring_over(backend, rewrite)
        install(backend, rewrite)
        for number in range(5000, 8000):
            backend.put(KEY, revision_key(number, 0), b"x")
        backend.commit()
        assert old.get(b"key", revision_key(2, 0)) == b"v2"
        assert sum(map(len, old.rows(b"key"))) == 2998


def test_a_batch_that_is_full_ends_the_hold(tmp_path: Path) -> None:
    with Backend.open(tmp_path / "db", fsync=False, batch_limit=10) as backend:
        rewrite = copied(backend, tmp_path / "db.tmp.1")
        hold(backend)
        for number in range(2, 60):
            backend.put(KEY, revision_key(number, 0), b"v")
        backend.maybe_commit_nowait()
        assert not backend.is_holding
        backend.commit()
        assert bring_over(backend, rewrite) == 58
        hold(backend)
        assert bring_over(backend, rewrite) == 0
        install(backend, rewrite)
        assert len(rows_of(backend)["key"]) == 58


def test_a_received_database_goes_before_a_copy(backend: Backend, tmp_path: Path) -> None:
    with Backend.open(tmp_path / "received", fsync=False) as received:
        received.put(META, b"k", b"received")
    rewrite = copied(backend, tmp_path / "db.tmp.1")
    backend.replace(tmp_path / "received")
    assert rewrite.cancelled
    rewrite.is_final = True
    with pytest.raises(RewriteCancelledError):
        rewrite.install(backend.path)
    rewrite.close()
    assert backend.get(META, b"k") == b"received"
    assert not (tmp_path / "db.tmp.1").exists()


def test_a_received_database_goes_before_an_installed_copy(
    backend: Backend, tmp_path: Path
) -> None:
    with Backend.open(tmp_path / "received", fsync=False) as received:
        received.put(META, b"k", b"received")
    rewrite = copied(backend, tmp_path / "db.tmp.1")
    hold(backend)
    bring_over(backend, rewrite)
    rewrite.flush()
    rewrite.is_final = True
    rewrite.install(backend.path)
    backend.replace(tmp_path / "received")
    backend.take_over(rewrite)
    rewrite.close()
    assert backend.get(META, b"k") == b"received"
    backend.put(META, b"k", b"goes on")
    backend.commit()


def test_a_commit_that_must_be_now_ends_the_rewrite(backend: Backend, tmp_path: Path) -> None:
    rewrite = copied(backend, tmp_path / "db.tmp.1")
    hold(backend)
    backend.put(META, b"k", b"now")
    backend.commit()
    assert rewrite.cancelled
    rewrite.close()
    with LmdbFile.open(backend.path) as file:
        assert file.get(b"meta", b"k") == b"now"


def test_any_changes_at_any_time_are_brought_over(tmp_path: Path) -> None:
    chance = random.Random(20)
    with Backend.open(tmp_path / "db", fsync=False, batch_interval_s=0) as backend:
        newest = 1

        def change() -> None:
            nonlocal newest
            for _ in range(chance.randrange(40)):
                if chance.random() < 0.6:
                    newest += 1
                    backend.put(KEY, revision_key(newest, 0), b"%d" % newest)
                else:
                    backend.delete(KEY, revision_key(chance.randrange(1, newest + 1), 0))
                if chance.random() < 0.3:
                    lease = chance.randrange(50).to_bytes(8, "big")
                    if chance.random() < 0.5:
                        backend.put(LEASE, lease, b"l")
                    else:
                        backend.delete(LEASE, lease)
            backend.maybe_commit_nowait()

        for turn in range(12):
            change()
            rewrite = backend.begin_rewrite(tmp_path / f"db.tmp.{turn}")
            change()
            settle(backend)  # nobody keeps the pages that a bare file is read from
            with LmdbFile.open(backend.path) as source:
                copy_database(source, rewrite.path)
            change()
            rewrite.open_copy()
            for _ in range(3):
                for piece in backend.pieces(rewrite):
                    change()
                    rewrite.write(piece)
            hold(backend)
            change()
            bring_over(backend, rewrite)
            wanted = rows_of(backend)
            install(backend, rewrite)
            assert rows_of(backend) == wanted
            change()
