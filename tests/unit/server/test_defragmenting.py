"""The member's side of defragmentation: workers, the gate, one run at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kvorum.embed.logging import stdlib_logger
from kvorum.errors import StatusError, StoppedError
from kvorum.mvcc.hashing import hash_all
from kvorum.server.database_workers import DatabaseWorkers
from kvorum.server.defrag_at_start import defragment_at_start
from kvorum.server.defragmenting import Defragmenter
from kvorum.server.metrics.counters import MemberCounters
from kvorum.server.opening_gate import OpeningGate
from kvorum.storage import Backend
from kvorum.storage.buckets import CONSISTENT_INDEX, KEY, META, encode_u64, revision_key

HASH_WORKER = "kvorum.server.hash_worker"
DEADLINE_S = 20
ROWS = 3000


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    with Backend.open(tmp_path / "db", fsync=False, batch_interval_s=0) as opened:
        for number in range(2, ROWS):
            opened.put(KEY, revision_key(number, 0), b"v" * 100)
        opened.put(META, CONSISTENT_INDEX, encode_u64(7))
        opened.commit()
        for number in range(2, ROWS, 2):
            opened.delete(KEY, revision_key(number, 0))
        opened.commit()
        yield opened


@pytest.fixture
async def workers(backend: Backend) -> AsyncIterator[DatabaseWorkers]:
    made = DatabaseWorkers(backend)
    yield made
    await made.stop()


@pytest.fixture
async def defragmenter(backend: Backend, workers: DatabaseWorkers) -> AsyncIterator[Defragmenter]:
    made = Defragmenter(backend, workers, MemberCounters(), stdlib_logger())
    yield made
    await workers.stop()
    await made.stop()


async def until_running(defragmenter: Defragmenter, *, running: bool = True) -> None:
    changed = asyncio.Event()
    defragmenter.listeners.append(changed.set)
    while defragmenter.is_running is not running:
        changed.clear()
        await changed.wait()


async def test_the_database_is_written_anew(backend: Backend, defragmenter: Defragmenter) -> None:
    before, rows = backend.size(), backend.range(KEY, b"", None)
    told: list[bool] = []
    defragmenter.listeners.append(lambda: told.append(defragmenter.is_running))
    async with asyncio.timeout(DEADLINE_S):
        await defragmenter.defragment()
    assert backend.size() < before
    assert backend.range(KEY, b"", None) == rows
    assert told == [True, False]
    assert sorted(path.name for path in backend.path.parent.iterdir()) == ["db", "db-lock"]


async def test_what_is_put_meanwhile_is_there_afterwards(
    backend: Backend, defragmenter: Defragmenter
) -> None:
    running = asyncio.ensure_future(defragmenter.defragment())
    number = ROWS
    async with asyncio.timeout(DEADLINE_S):
        while not running.done():
            number += 1
            backend.put(KEY, revision_key(number, 0), b"meanwhile")
            backend.delete(KEY, revision_key(min(number - ROWS, ROWS), 0))
            backend.maybe_commit_nowait()
            await asyncio.sleep(0)
        await running
    assert number > ROWS + 10
    backend.commit()
    found = [key for key, _ in backend.range(KEY, revision_key(ROWS, 0), None)]
    assert found == [revision_key(one, 0) for one in range(ROWS + 1, number + 1)]


async def test_who_comes_late_waits_for_the_next_run(
    defragmenter: Defragmenter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(DEADLINE_S):
        first = asyncio.ensure_future(defragmenter.defragment())
        await until_running(defragmenter)
        await asyncio.gather(*(defragmenter.defragment() for _ in range(5)), first)
    begun = [record for record in caplog.records if record.message.startswith("defragmenting ")]
    assert len(begun) == 2


async def test_a_caller_who_leaves_stops_nothing(
    backend: Backend, defragmenter: Defragmenter
) -> None:
    before = backend.size()
    call = asyncio.ensure_future(defragmenter.defragment())
    async with asyncio.timeout(DEADLINE_S):
        await until_running(defragmenter)
        call.cancel()
        await until_running(defragmenter, running=False)
    assert backend.size() < before


async def test_a_stop_leaves_the_file_as_it_was(
    backend: Backend, workers: DatabaseWorkers, defragmenter: Defragmenter
) -> None:
    rows = backend.range(KEY, b"", None)
    call = asyncio.ensure_future(defragmenter.defragment())
    async with asyncio.timeout(DEADLINE_S):
        await until_running(defragmenter)
        await asyncio.sleep(0)
        await workers.stop()
        await defragmenter.stop()
        with pytest.raises((StoppedError, StatusError, asyncio.CancelledError)):
            await call
    assert not list(backend.path.parent.glob("db.tmp*"))
    backend.put(META, b"k", b"goes on")
    backend.commit()
    assert backend.range(KEY, b"", None) == rows


async def test_the_hash_is_that_of_all_rows(backend: Backend, workers: DatabaseWorkers) -> None:
    backend.put(META, b"pending", b"not committed yet")
    ignored = frozenset((CONSISTENT_INDEX,))
    wanted = hash_all(backend, ignored)
    assert int(await workers.run(HASH_WORKER, *map(bytes.decode, ignored))) == wanted
    assert wanted != hash_all(backend, frozenset())


async def test_a_worker_that_fails_says_why(backend: Backend, workers: DatabaseWorkers) -> None:
    copy = backend.path.with_name("db.tmp.1")
    copy.touch()
    with pytest.raises(StatusError, match="exists already"):
        await workers.run("kvorum.server.defrag_worker", str(copy))


async def test_nobody_opens_while_the_file_is_replaced() -> None:
    gate, order = OpeningGate(), []
    opened, may_close = asyncio.Event(), asyncio.Event()

    async def opening(name: str) -> None:
        async with gate.opening():
            order.append(name)
            opened.set()
            await may_close.wait()

    async def replacing() -> None:
        async with gate.replacing():
            order.append("replaced")

    async with asyncio.timeout(DEADLINE_S):
        first = asyncio.ensure_future(opening("first"))
        await opened.wait()
        replaced = asyncio.ensure_future(replacing())
        await asyncio.sleep(0)
        late = asyncio.ensure_future(opening("late"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert order == ["first"]
        may_close.set()
        await asyncio.gather(first, replaced, late)
    assert order == ["first", "replaced", "late"]


def test_a_start_defragments_from_a_threshold_on(backend: Backend) -> None:
    free = backend.size() - backend.size_in_use()
    rows = backend.range(KEY, b"", None)
    defragment_at_start(backend, free + 1, stdlib_logger())
    assert backend.size() - backend.size_in_use() == free
    defragment_at_start(backend, free, stdlib_logger())
    assert backend.size() - backend.size_in_use() < free
    assert backend.range(KEY, b"", None) == rows
