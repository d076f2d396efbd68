from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kvorum.storage import Backend, Bucket, CommitFailedError
from kvorum.storage.batch import Batch
from kvorum.storage.buckets import (
    AUTH_ROLES,
    AUTH_USERS,
    BUCKETS,
    CONSISTENT_INDEX,
    KEY,
    LEASE,
    META,
    decode_u64,
    encode_u64,
    lease_key,
    revision_key,
)

DEADLINE_S = 20.0


def open_backend(path: Path, **options: object) -> Backend:
    return Backend.open(path, fsync=False, lock_wait_s=0, **options)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def backend(path: Path) -> Iterator[Backend]:
    with open_backend(path, batch_interval_s=3600) as one:
        yield one


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Gate:
    """Holds the committer before it writes a batch."""

    def __init__(self, backend: Backend) -> None:
        self._write = backend._environment.write
        self._open = threading.Event()
        self.batches: list[int] = []
        backend._environment.write = self._wait_and_write  # type: ignore[method-assign]

    def _wait_and_write(self, batch: Batch) -> None:
        assert self._open.wait(DEADLINE_S)
        self.batches.append(len(batch))
        self._write(batch)

    def open(self) -> None:
        self._open.set()


# Rows.


def test_a_row_is_read_before_and_after_it_is_committed(backend: Backend) -> None:
    backend.put(KEY, b"a", b"1")
    assert backend.get(KEY, b"a") == b"1"
    backend.commit()
    assert backend.get(KEY, b"a") == b"1"
    backend.delete(KEY, b"a")
    assert backend.get(KEY, b"a") is None
    backend.commit()
    assert backend.get(KEY, b"a") is None


def test_a_row_is_read_while_it_is_being_written(backend: Backend) -> None:
    gate = Gate(backend)
    backend.put(KEY, b"a", b"1")
    backend.put(KEY, b"b", b"1")
    backend._seal()
    backend.put(KEY, b"b", b"2")
    backend.delete(KEY, b"a")
    backend.put(KEY, b"c", b"3")
    assert not backend.is_settled
    assert backend.get_many(KEY, [b"a", b"b", b"c", b"d"]) == [None, b"2", b"3", None]
    assert backend.range(KEY, b"", None) == [(b"b", b"2"), (b"c", b"3")]
    gate.open()
    backend.commit()
    assert backend.is_settled
    assert backend.range(KEY, b"", None) == [(b"b", b"2"), (b"c", b"3")]


def test_all_buckets_are_there_and_apart(backend: Backend) -> None:
    for bucket in BUCKETS:
        assert backend.range(bucket, b"", None) == []
        backend.put(bucket, b"k", bucket.name)
    backend.commit()
    for bucket in BUCKETS:
        assert backend.range(bucket, b"", None) == [(b"k", bucket.name)]


def test_empty_values_are_kept(backend: Backend) -> None:
    backend.put(META, b"k", b"")
    backend.commit()
    assert backend.get(META, b"k") == b""


def test_an_empty_key_is_never_found(backend: Backend) -> None:
    assert backend.get(AUTH_USERS, b"") is None


def test_a_range_is_half_open_ordered_and_limited(backend: Backend) -> None:
    for n in range(0, 10, 2):
        backend.put(LEASE, lease_key(n), b"stored")
    backend.commit()
    for n in range(1, 10, 2):
        backend.put(LEASE, lease_key(n), b"pending")
    backend.delete(LEASE, lease_key(4))
    got = [key for key, _ in backend.range(LEASE, lease_key(2), lease_key(8))]
    assert got == [lease_key(n) for n in (2, 3, 5, 6, 7)]
    assert len(backend.range(LEASE, lease_key(2), None, limit=3)) == 3
    assert backend.range(LEASE, lease_key(8), lease_key(8)) == []


def test_a_scan_reads_every_row_once_in_chunks(path: Path) -> None:
    rows = [(revision_key(n, 0), b"v" * (n % 50)) for n in range(3000)]
    with open_backend(path) as backend:
        for key, value in rows:
            backend.put(KEY, key, value)
        backend.commit()
        for key, _ in rows[1000:1200]:
            backend.delete(KEY, key)
        chunks = list(backend.scan(KEY, chunk_rows=700))
        assert [row for chunk in chunks for row in chunk] == rows[:1000] + rows[1200:]
        assert len(chunks) == 5


def test_a_chunk_of_a_scan_is_bounded_in_bytes(backend: Backend) -> None:
    value = b"v" * (1 << 20)
    for n in range(100):
        backend.put(KEY, revision_key(n, 0), value)
    backend.commit()
    sizes = [len(chunk) for chunk in backend.scan(KEY)]
    assert sum(sizes) == 100
    assert max(sizes) <= 32


def test_what_is_put_behind_a_running_scan_is_seen_by_it(backend: Backend) -> None:
    for n in range(100):
        backend.put(KEY, revision_key(n, 0), b"v")
    backend.commit()
    seen = []
    for chunk in backend.scan(KEY, chunk_rows=10):
        seen += chunk
        if len(seen) == 50:
            backend.put(KEY, revision_key(1000, 0), b"late")
            backend.commit()
    assert len(seen) == 101
    assert seen[-1] == (revision_key(1000, 0), b"late")


keys = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.integers(505, 520).map(lambda size: b"k" * size),
    st.tuples(st.integers(505, 520), st.binary(max_size=2)).map(
        lambda pair: b"k" * pair[0] + pair[1]
    ),
    st.just(b"long" * 300),
)
some_buckets = st.sampled_from([AUTH_USERS, AUTH_ROLES])


class BackendAgainstDictionary(RuleBasedStateMachine):
    """Any order of changes, commits and reopenings, with keys around LMDB's limit."""

    path: Path

    def __init__(self) -> None:
        super().__init__()
        self.path.unlink(missing_ok=True)
        self.backend = open_backend(self.path, batch_interval_s=3600)
        self.model: dict[Bucket, dict[bytes, bytes]] = {AUTH_USERS: {}, AUTH_ROLES: {}}

    @rule(bucket=some_buckets, key=keys, value=st.binary(max_size=20))
    def put(self, bucket: Bucket, key: bytes, value: bytes) -> None:
        self.backend.put(bucket, key, value)
        self.model[bucket][key] = value

    @rule(bucket=some_buckets, key=keys)
    def delete(self, bucket: Bucket, key: bytes) -> None:
        self.backend.delete(bucket, key)
        self.model[bucket].pop(key, None)

    @rule()
    def seal(self) -> None:
        self.backend._drain()
        self.backend._seal()

    @rule()
    def commit(self) -> None:
        self.backend.commit()

    @rule()
    def reopen(self) -> None:
        self.backend.close()
        self.backend = open_backend(self.path, batch_interval_s=3600)

    @rule(bucket=some_buckets, start=keys, end=st.one_of(st.none(), keys), limit=st.integers(0, 4))
    def read_range(self, bucket: Bucket, start: bytes, end: bytes | None, limit: int) -> None:
        rows = sorted(
            row
            for row in self.model[bucket].items()
            if start <= row[0] and (end is None or row[0] < end)
        )
        assert self.backend.range(bucket, start, end, limit) == (rows[:limit] if limit else rows)

    @rule(bucket=some_buckets, wanted=st.lists(keys, max_size=5))
    def read_keys(self, bucket: Bucket, wanted: list[bytes]) -> None:
        expected = [self.model[bucket].get(key) for key in wanted]
        assert self.backend.get_many(bucket, wanted) == expected
        assert [self.backend.get(bucket, key) for key in wanted] == expected

    @invariant()
    def same_rows(self) -> None:
        for bucket, rows in self.model.items():
            found = [row for chunk in self.backend.scan(bucket, chunk_rows=2) for row in chunk]
            assert found == sorted(rows.items())

    def teardown(self) -> None:
        self.backend.close()


def test_a_backend_behaves_like_a_dictionary(path: Path) -> None:
    BackendAgainstDictionary.path = path
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        BackendAgainstDictionary,
        settings=settings(max_examples=40, stateful_step_count=25),
    )


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40), st.integers(0, 60))
def test_rows_in_any_order_are_written_like_rows_in_order(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bool]], stored: int
) -> None:
    """New revisions are appended; older ones, and deletions among them, must not be lost by it."""
    with open_backend(tmp_path_factory.mktemp("order") / "db", batch_interval_s=3600) as backend:
        model = {revision_key(n, 0): b"old" for n in range(stored)}
        for key, value in model.items():
            backend.put(KEY, key, value)
        backend.commit()
        for n, is_put in changes:
            key = revision_key(n, 0)
            if is_put:
                backend.put(KEY, key, b"new")
                model[key] = b"new"
            else:
                backend.delete(KEY, key)
                model.pop(key, None)
        backend.commit()
        assert backend.range(KEY, b"", None) == sorted(model.items())


# Commits.


def test_a_batch_is_due_when_it_is_old_enough(path: Path) -> None:
    with open_backend(path, batch_interval_s=0.02) as backend:
        wait_until(lambda: time.monotonic() > backend._due_at)
        assert not backend.due()  # nothing to write
        backend.put(KEY, b"a", b"1")
        assert backend.due()
        backend.maybe_commit_nowait()
        assert not backend.due()

        def settled() -> bool:
            backend.maybe_commit_nowait()
            return backend.is_settled

        wait_until(settled)
        assert (backend.sealed_count, backend.settled_count) == (1, 1)


@pytest.mark.parametrize(("count", "value"), [(50, b"x"), (5, b"x" * 1000)])
def test_a_batch_is_due_when_it_is_large_enough(path: Path, count: int, value: bytes) -> None:
    with open_backend(path, batch_interval_s=3600, batch_limit=50, batch_bytes=5000) as backend:
        for n in range(count - 1):
            backend.put(KEY, revision_key(n, 0), value)
            assert not backend.due()
        backend.put(KEY, revision_key(count, 0), value)
        assert backend.due()


def test_the_owner_is_held_only_when_the_backlog_is_full(path: Path) -> None:
    with open_backend(path, batch_interval_s=3600, batch_limit=10) as backend:
        gate = Gate(backend)
        opener = threading.Timer(0.3, gate.open)
        opener.start()
        start = time.monotonic()
        for n in range(49):
            backend.put(KEY, revision_key(n, 0), b"v")
            backend.maybe_commit_nowait()
        assert gate.batches == []
        assert time.monotonic() - start < 0.3
        backend.put(KEY, revision_key(49, 0), b"v")
        backend.maybe_commit_nowait()
        assert gate.batches[0] == 10
        backend.commit()
        assert gate.batches == [10, 40]
        opener.join()


def test_put_never_seals_so_that_an_entry_is_not_split(path: Path) -> None:
    with open_backend(path, batch_interval_s=0, batch_limit=1, batch_bytes=1) as backend:
        for n in range(100):
            backend.put(KEY, revision_key(n, 0), b"v")
        assert backend.sealed_count == 0


def test_the_consistent_index_goes_into_the_same_transaction(path: Path) -> None:
    index = 0
    with open_backend(path, batch_interval_s=0, batch_limit=5) as backend:

        def put_index(one: Backend) -> None:
            one.put(META, CONSISTENT_INDEX, encode_u64(index))

        backend.before_commit = put_index
        seen: list[tuple[int, int]] = []
        write = backend._environment.write

        def watch(batch: Batch) -> None:
            value = batch.rows[META.index][CONSISTENT_INDEX]
            assert value is not None
            if batch.rows[KEY.index]:
                newest = max(batch.rows[KEY.index])
                seen.append((decode_u64(value), int.from_bytes(newest[:8], "big")))
            write(batch)

        backend._environment.write = watch  # type: ignore[method-assign]
        for index in range(1, 200):
            backend.put(KEY, revision_key(index, 0), b"v")
            backend.put(KEY, revision_key(index, 1), b"v")
            backend.maybe_commit_nowait()
        backend.commit()
    assert len(seen) > 2
    assert all(covered == newest for covered, newest in seen)
    assert seen[-1][0] == 199


def test_commit_calls_the_hook_when_nothing_else_changed(backend: Backend) -> None:
    backend.before_commit = lambda one: one.put(META, CONSISTENT_INDEX, encode_u64(7))
    backend.commit()
    backend.before_commit = None
    assert backend.get(META, CONSISTENT_INDEX) == encode_u64(7)
    assert backend.settled_count == 1


def test_what_was_put_is_there_after_close_and_open(path: Path) -> None:
    with open_backend(path) as backend:
        backend.put(KEY, b"a", b"1")
    with open_backend(path) as backend:
        assert backend.get(KEY, b"a") == b"1"


def test_another_thread_may_flush(backend: Backend) -> None:
    backend.put(KEY, b"a", b"1")
    backend.commit()
    thread = threading.Thread(target=backend.sync)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_a_closed_backend_is_not_used(path: Path) -> None:
    backend = open_backend(path)
    backend.close()
    backend.close()
    with pytest.raises(AssertionError, match="closed"):
        backend.put(KEY, b"a", b"1")
    with pytest.raises(AssertionError, match="closed"):
        backend.get(KEY, b"a")


# Room.


def test_the_map_grows_by_itself(path: Path) -> None:
    with open_backend(path, map_bytes=1 << 18) as backend:
        rows = [(revision_key(n, 0), os.urandom(5000)) for n in range(1000)]
        for key, value in rows:
            backend.put(KEY, key, value)
            backend.maybe_commit_nowait()
        backend.commit()
        assert backend.range(KEY, b"", None) == rows
        assert backend.size() > 16 << 18
    with open_backend(path, map_bytes=1 << 18) as backend:
        assert backend.range(KEY, b"", None) == rows


def test_reads_go_on_while_the_map_grows(path: Path) -> None:
    """The scan holds a place in the file when the map moves."""
    with open_backend(path, map_bytes=1 << 18) as backend:
        for n in range(200):
            backend.put(KEY, revision_key(n, 0), b"v" * 100)
        backend.commit()
        seen = 0
        for chunk in backend.scan(KEY, chunk_rows=20):
            seen += len(chunk)
            backend.put(META, b"big%d" % seen, bytes(200_000))
            backend.commit()
        assert seen == 200


def test_space_of_deleted_rows_is_used_again(path: Path) -> None:
    with open_backend(path) as backend:
        sizes = []
        for turn in range(12):
            for n in range(200):
                backend.put(KEY, revision_key(turn, n), bytes(2000))
                if turn:
                    backend.delete(KEY, revision_key(turn - 1, n))
            backend.commit()
            sizes.append(backend.size())
        assert sizes[-1] == sizes[5]


def test_sizes_are_those_of_pages(path: Path) -> None:
    with open_backend(path) as backend:
        for n in range(500):
            backend.put(KEY, revision_key(n, 0), bytes(3000))
        backend.commit()
        full, in_use = backend.size(), backend.size_in_use()
        assert 500 * 3000 < in_use <= full
        assert path.stat().st_size == full
        for n in range(500):
            backend.delete(KEY, revision_key(n, 0))
        backend.commit()
        assert backend.size() >= full
        assert backend.size_in_use() < full / 10


# Failure.


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """As a full disk would, the kernel refuses to let a file grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_commit_surfaces_at_the_next_call_and_stays(path: Path) -> None:
    backend = open_backend(path, batch_interval_s=3600)
    backend.put(KEY, b"a", b"1")
    backend.commit()
    with no_file_above(path.stat().st_size):
        for n in range(100):
            backend.put(KEY, revision_key(n, 0), bytes(1000))
        backend._seal()
        wait_until(lambda: backend._committer.finished)
    for call in (
        lambda: backend.put(KEY, b"b", b"2"),
        lambda: backend.delete(KEY, b"a"),
        lambda: backend.get(KEY, b"a"),
        lambda: backend.get_many(KEY, [b"a"]),
        lambda: backend.range(KEY, b"", None),
        backend.maybe_commit_nowait,
        backend.commit,
    ):
        with pytest.raises(CommitFailedError, match="start the member again"):
            call()
    with pytest.raises(CommitFailedError):
        backend.close()
    with open_backend(path) as backend:
        assert backend.range(KEY, b"", None) == [(b"a", b"1")]


def test_a_failed_commit_is_not_swallowed_by_close(path: Path) -> None:
    backend = open_backend(path, batch_interval_s=3600)
    with no_file_above(path.stat().st_size):
        for n in range(100):
            backend.put(KEY, revision_key(n, 0), bytes(1000))
        with pytest.raises(CommitFailedError):
            backend.close()
    open_backend(path).close()  # the lock was let go of
