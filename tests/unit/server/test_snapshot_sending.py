"""Snapshots built by a process of their own, from a database that is written all the time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from itertools import chain
from pathlib import Path
from random import Random

import lmdb
import pytest

from kvorum.errors import Code, StatusError, StoppedError
from kvorum.server.log import Logger
from kvorum.server.snapshot_sending import PIECE_BYTES, SOURCES_MAX, SnapshotSource, SnapshotSources
from kvorum.storage import Backend
from kvorum.storage.bbolt import BoltFile
from kvorum.storage.buckets import CONSISTENT_INDEX, KEY, META, TERM, encode_u64, revision_key

DEADLINE_S = 30.0
ROWS_COUNT = 3_000


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    rng = Random(1)
    with Backend.open(tmp_path / "db", fsync=False, batch_interval_s=3600) as one:
        for n in range(2, ROWS_COUNT + 2):
            one.put(KEY, revision_key(n, 0), rng.randbytes(1500))
        one.put(META, CONSISTENT_INDEX, encode_u64(41))
        one.put(META, TERM, encode_u64(7))
        yield one


@pytest.fixture
async def sources(backend: Backend) -> AsyncIterator[SnapshotSources]:
    log = Logger(lambda _: None)
    one = SnapshotSources(backend, log)
    yield one
    await one.stop()
    assert children() == []


def children() -> list[int]:
    """Processes that this one has started and that still run."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if b"kvorum.server.snapshot_worker" in command:
                    found.append(int(child))
    return found


async def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def read_all(source: SnapshotSource) -> bytes:
    pieces = []
    while piece := await source.read():
        assert len(piece) <= PIECE_BYTES
        pieces.append(piece)
    return b"".join(pieces)


def readers_count(path: Path) -> int:
    """Entries in the table of readers, by an own look at it: 64 bytes each, process id at 8."""
    data = Path(f"{path}-lock").read_bytes()
    return sum(
        int.from_bytes(data[at + 8 : at + 12], "little") not in {0, os.getpid()}
        for at in range(192, len(data) - 63, 64)
    )


async def test_everything_put_before_is_in_it(
    backend: Backend, sources: SnapshotSources, tmp_path: Path
) -> None:
    """The batch is neither old nor large: it is committed because a snapshot is asked for."""
    assert backend.settled_count == 0
    source = await sources.open()
    backend.put(KEY, revision_key(99_999, 0), b"later")
    data = await read_all(source)
    assert len(data) == source.size_bytes
    assert sha256(data).digest() == source.digest
    assert (source.consistent_index, source.term) == (41, 7)
    await source.close()
    (tmp_path / "snapshot").write_bytes(data)
    with BoltFile.open(tmp_path / "snapshot") as bolt:
        assert bolt.check() == []
        keys = [key for key, _ in chain.from_iterable(bolt.rows(b"key"))]
    assert keys == [revision_key(n, 0) for n in range(2, ROWS_COUNT + 2)]


async def test_what_is_written_meanwhile_is_not_in_it(
    backend: Backend, sources: SnapshotSources
) -> None:
    first = await sources.open()
    expected = backend.range(KEY, b"", None)
    begun = await first.read()
    for number in range(5):
        for n in range(2, ROWS_COUNT + 2):
            backend.put(KEY, revision_key(n, 0), b"%d" % number * 300)
        backend.commit()
    data = begun + await read_all(first)
    await first.close()
    for _, value in expected:
        assert value in data
    assert b"4" * 300 not in data


async def test_a_snapshot_that_is_closed_leaves_nothing(
    backend: Backend, sources: SnapshotSources
) -> None:
    source = await sources.open()
    await source.read()
    assert len(children()) == 1
    assert readers_count(backend.path) == 1
    await source.close()
    await source.close()
    assert children() == []
    assert readers_count(backend.path) == 0


async def test_pages_are_used_again_after_a_killed_worker(
    backend: Backend, sources: SnapshotSources
) -> None:
    source = await sources.open()
    os.kill(children()[0], 9)
    await source.close()
    sizes = []
    for number in range(12):
        for n in range(2, ROWS_COUNT + 2):
            backend.put(KEY, revision_key(n, 0), b"%d" % number * 1000)
        backend.commit()
        sizes.append(backend.size())
    assert sizes[-1] == sizes[5]


async def test_a_worker_that_dies_is_an_error_and_not_the_end(
    backend: Backend, sources: SnapshotSources
) -> None:
    source = await sources.open()
    await source.read()
    os.kill(children()[0], 9)
    with pytest.raises(StatusError, match=r"could not be built: its process ended with -9") as one:
        await read_all(source)
    assert one.value.status is Code.INTERNAL
    await source.close()


async def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, backend: Backend) -> None:
    sources = SnapshotSources(backend, Logger(lambda _: None))
    backend.commit()
    moved = tmp_path / "moved"
    backend.path.rename(moved)
    try:
        with pytest.raises(StatusError, match="could not be built"):
            await sources.open()
    finally:
        moved.rename(backend.path)
    assert children() == []


async def test_a_reader_that_stands_still_holds_the_worker_up(
    sources: SnapshotSources, backend: Backend
) -> None:
    source = await sources.open()
    (worker,) = children()

    def waits() -> bool:
        return Path(f"/proc/{worker}/wchan").read_text() in {"pipe_write", "anon_pipe_write", "0"}

    await wait_until(waits)
    await asyncio.sleep(0)
    assert source.size_bytes > 8 * PIECE_BYTES
    assert len(source._reader._buffer) <= 2 * PIECE_BYTES + (64 << 10)  # type: ignore[attr-defined]
    assert len(await read_all(source)) == source.size_bytes
    await source.close()


async def test_more_snapshots_than_the_limit_are_refused(sources: SnapshotSources) -> None:
    opened = await asyncio.gather(*(sources.open() for _ in range(SOURCES_MAX)))
    with pytest.raises(StatusError, match="too many snapshots") as caught:
        await sources.open()
    assert caught.value.status is Code.RESOURCE_EXHAUSTED
    await opened[0].close()
    again = await sources.open()
    assert len(await read_all(again)) == again.size_bytes


async def test_one_that_is_given_up_while_it_begins_leaves_no_process(
    sources: SnapshotSources, backend: Backend
) -> None:
    for delay_s in (0.0, 0.005, 0.02, 0.05, 0.1):
        task = asyncio.ensure_future(sources.open())
        await asyncio.sleep(delay_s)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await task).close()
        assert children() == []


async def test_a_member_that_stops_ends_its_workers(
    backend: Backend, sources: SnapshotSources
) -> None:
    source = await sources.open()
    await sources.stop()
    assert children() == []
    with pytest.raises(StoppedError):
        await read_all(source)
    with pytest.raises(StoppedError):
        await sources.open()


async def test_a_worker_goes_with_its_member(backend: Backend, sources: SnapshotSources) -> None:
    """Its standard input ends when the member is killed."""
    source = await sources.open()
    stdin = source._process.stdin
    assert stdin is not None
    stdin.close()
    with pytest.raises(StatusError):
        await read_all(source)
    await source.close()


def test_the_lock_table_is_where_readers_are_counted() -> None:
    """`readers_count` knows the layout of LMDB 0.9."""
    assert lmdb.version()[:2] == (0, 9)
