"""Linearizable reads that have to ask for an index first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvorum.errors import CompactedError, RequestTimeoutError, StoppedError
from kvorum.server.member import EtcdServer
from tests.unit.server.members import Clock, put, running

ANSWER_S = 10.0


def ask(server: EtcdServer, answer: Callable[[Any], bytes]) -> asyncio.Future[bytes]:
    """A read that may not take the way of a member that is alone."""
    server.node.read_index_nowait = lambda: None  # type: ignore[method-assign]
    future = server.reads.read(False, answer, None)
    assert isinstance(future, asyncio.Future)
    return future


def silence(server: EtcdServer) -> None:
    """Let no question for an index be answered."""
    server.node._ask_reads = server.node._reads.clear  # type: ignore[method-assign]


async def test_a_read_is_answered_after_its_round(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"a")
        asked = [ask(server, lambda _, n=n: b"%d" % n) for n in range(3)]  # type: ignore[misc]
        assert await asyncio.wait_for(asyncio.gather(*asked), ANSWER_S) == [b"0", b"1", b"2"]
        assert server.node.read_rounds == 1


async def test_a_read_waits_for_what_was_committed_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await put(server, b"first")
        target = server.proposals.applied_index + 2
        server.node.read_index_nowait = lambda: target  # type: ignore[method-assign]
        seen = server.reads.read(False, lambda _: b"%d" % server.proposals.applied_index, None)
        assert isinstance(seen, asyncio.Future)
        await put(server, b"a")
        assert not seen.done()
        await put(server, b"b")
        assert await seen == b"%d" % target


async def test_what_the_answer_raises_reaches_the_one_who_asked(tmp_path: Path) -> None:
    def answer(_: None) -> bytes:
        raise CompactedError

    async with running(tmp_path) as server:
        with pytest.raises(CompactedError):
            await asyncio.wait_for(ask(server, answer), ANSWER_S)
        await put(server, b"a")  # the member goes on


async def test_nobody_computes_an_answer_that_is_not_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        answered = []

        def answer(_: None) -> bytes:
            answered.append(True)
            return b""

        given_up, kept = ask(server, answer), ask(server, lambda _: b"kept")
        given_up.cancel()
        assert await asyncio.wait_for(kept, ANSWER_S) == b"kept"
        assert not answered


@pytest.mark.parametrize("leader", [True, False])
async def test_a_read_that_nobody_answers_is_given_up_and_counted(
    leader: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("kvorum.server.reads.monotonic_s", clock)
    async with running(tmp_path) as server:
        silence(server)
        future = ask(server, lambda _: b"")
        timeout_s = server.options.request_timeout_s
        server.reads.expire(clock() + timeout_s - 0.001)
        assert not future.done()
        if not leader:
            server.node.raw.raft.lead = 0
        server.reads.expire(clock() + timeout_s)
        with pytest.raises(RequestTimeoutError):
            await asyncio.wait_for(future, ANSWER_S)
        counters = server.counters
        assert (counters.slow_reads, counters.reads_failed) == ((1, 0) if leader else (0, 1))


async def test_a_member_that_stops_tells_those_who_wait(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        silence(server)
        future = ask(server, lambda _: b"")
    with pytest.raises(StoppedError):
        await future
    with pytest.raises(StoppedError):
        ask(server, lambda _: b"")
