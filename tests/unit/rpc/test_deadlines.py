"""Deadlines that are watched together."""

from __future__ import annotations

import asyncio

import pytest

from kvorum.rpc import deadlines as module
from kvorum.rpc.deadlines import Deadlines
from kvorum.server.clock import monotonic_s

WAIT_S = 10.0


class Waiting:
    def __init__(self) -> None:
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def expired(self) -> None:
        self.ended.set_result(monotonic_s())


async def test_each_call_ends_after_its_own_deadline_and_never_before() -> None:
    deadlines, begun_s = Deadlines(), monotonic_s()
    calls = [Waiting() for _ in range(3)]
    for call, after_s in zip(calls, (0.12, 0.0, 0.06), strict=True):
        deadlines.add(call, begun_s + after_s)
    ended_s = await asyncio.wait_for(asyncio.gather(*(call.ended for call in calls)), WAIT_S)
    assert ended_s[1] <= ended_s[2] <= ended_s[0]
    assert ended_s[0] >= begun_s + 0.12
    assert ended_s[2] >= begun_s + 0.06
    assert len(deadlines) == 0


async def test_a_call_that_was_answered_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.001)
    deadlines, answered, late = Deadlines(), Waiting(), Waiting()
    deadlines.add(answered, monotonic_s())
    deadlines.discard(answered, None)
    deadlines.add(late, monotonic_s())
    await asyncio.wait_for(late.ended, WAIT_S)
    assert not answered.ended.done()


async def test_one_call_may_take_another_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.001)
    deadlines, second = Deadlines(), Waiting()

    class First(Waiting):
        def expired(self) -> None:
            super().expired()
            deadlines.discard(second, None)

    first, third = First(), Waiting()
    for call in (first, second, third):
        deadlines.add(call, monotonic_s())
    await asyncio.wait_for(third.ended, WAIT_S)
    assert first.ended.done()
    assert not second.ended.done()
