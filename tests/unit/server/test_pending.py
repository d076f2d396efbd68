"""Proposals that wait, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from kvorum.errors import NoLeaderError, RequestTimeoutError, StoppedError
from kvorum.server.pending import Pending, PendingTable


def waiting(table: PendingTable, data: bytes, deadline_s: float) -> asyncio.Future[bytes]:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    table.add(data, Pending(lambda _: b"", None, future, deadline_s))
    return future


async def test_only_those_past_their_deadline_are_given_up() -> None:
    table = PendingTable()
    first, second = waiting(table, b"1", 10.0), waiting(table, b"2", 10.5)
    table.expire(9.99)
    assert not first.done()
    table.expire(10.0)
    assert isinstance(first.exception(), RequestTimeoutError)
    assert not second.done()
    assert len(table) == 1
    table.expire(11.0)
    assert isinstance(second.exception(), RequestTimeoutError)
    assert len(table) == 0


async def test_a_proposal_that_was_given_up_is_found_no_more() -> None:
    """Its entry may come yet, and is applied as one that nobody waits for."""
    table = PendingTable()
    waiting(table, b"1", 10.0).add_done_callback(lambda future: future.exception())
    table.expire(10.0)
    assert table.pop(b"1", None) is None


async def test_failing_one_leaves_the_others() -> None:
    table = PendingTable()
    first, second = waiting(table, b"1", 10.0), waiting(table, b"2", 10.0)
    table.fail(b"1", NoLeaderError())
    table.fail(b"unknown", NoLeaderError())
    with pytest.raises(NoLeaderError):
        await first
    assert not second.done()


async def test_failing_all_tells_everyone_but_who_has_left() -> None:
    table = PendingTable()
    left, stays = waiting(table, b"1", 10.0), waiting(table, b"2", 10.0)
    left.cancel()
    table.fail_all(StoppedError())
    with pytest.raises(StoppedError):
        await stays
    assert left.cancelled()
    assert len(table) == 0
