"""The schedule of automatic compaction, on a clock that moves only when the compactor sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvorum.errors import CompactedError, FutureRevisionError, WireError
from kvorum.server.compactors import (
    PERIODIC,
    REVISION,
    Compactor,
    Periodic,
    Retention,
    rule_of,
)
from kvorum.server.log import Event, Level, Logger
from tests.unit.server.members import eventually, put_many, running

S = 10**9
MINUTE_S, HOUR_S = 60, 3600
REVISIONS_PER_S = 1000


class World:
    """Time, a store that gets `REVISIONS_PER_S` revisions a second, and what was done to it."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.until_ns = 0
        self.leads = True
        self.grows_until_ns = 2**63
        self.error: WireError | None = None
        self.tried: list[tuple[float, int]] = []
        self.events: list[Event] = []
        self.watcher: Callable[[float], None] = lambda _: None

    def clock_ns(self) -> int:
        return self.now_ns

    def revision(self) -> int:
        return revision_at(min(self.now_ns, self.grows_until_ns) / S)

    async def sleep(self, wait_s: float) -> None:
        self.now_ns += round(wait_s * S)
        if self.now_ns > self.until_ns:
            raise asyncio.CancelledError
        self.watcher(self.now_ns / S)

    async def compact(self, revision: int) -> None:
        self.tried.append((self.now_ns / S, revision))
        if self.error is not None:
            raise self.error

    def run(self, mode: str, amount: int, until_s: float) -> None:
        self.until_ns = round(until_s * S)
        compactor = Compactor(
            rule_of(Retention(mode, amount), self.clock_ns),
            revision=self.revision,
            leads=lambda: self.leads,
            compact=self.compact,
            sleep=self.sleep,
            clock_ns=self.clock_ns,
            log=Logger(self.events.append, Level.INFO),
        )
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(compactor.run())

    def times(self) -> list[float]:
        return [at for at, _ in self.tried]

    def lines(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event.message, dict(event.fields)) for event in self.events]


def revision_at(seconds: float) -> int:
    return 1 + round(REVISIONS_PER_S * seconds)


@pytest.mark.parametrize(
    ("period_s", "look_s", "interval_s", "notes"),
    [
        (0.01, 0.001, 0.01, 11),
        (0.1, 0.01, 0.1, 11),
        (1, 0.1, 1, 11),
        (2, 0.2, 2, 11),
        (30, 3, 30, 11),
        (5 * MINUTE_S, 30, 5 * MINUTE_S, 11),
        (10 * MINUTE_S, MINUTE_S, 10 * MINUTE_S, 11),
        (59 * MINUTE_S, 354, 59 * MINUTE_S, 11),
        (HOUR_S, 6 * MINUTE_S, HOUR_S, 11),
        (61 * MINUTE_S, 6 * MINUTE_S, HOUR_S, 11),
        (90 * MINUTE_S, 6 * MINUTE_S, HOUR_S, 16),
        (2 * HOUR_S, 6 * MINUTE_S, HOUR_S, 21),
        (3 * HOUR_S, 6 * MINUTE_S, HOUR_S, 31),
        (24 * HOUR_S, 6 * MINUTE_S, HOUR_S, 241),
        (7 * 24 * HOUR_S, 6 * MINUTE_S, HOUR_S, 1681),
    ],
)
def test_what_is_younger_than_the_period_is_kept(
    period_s: float, look_s: float, interval_s: float, notes: int
) -> None:
    world = World()
    first_s = (
        -(-round(period_s * S) // round(look_s * S)) * look_s
    )  # the first look with P behind it
    world.run(PERIODIC, round(period_s * S), first_s + 3.5 * interval_s)
    times = [round(first_s + n * interval_s, 9) for n in range(4)]
    # The newest note is one look old, so the oldest is as many looks old as there are notes.
    assert world.tried == [
        (at, revision_at(max(0.0, round(at - notes * look_s, 9)))) for at in times
    ]
    assert round(notes * look_s, 9) >= period_s
    assert rule_of(Retention(PERIODIC, round(period_s * S)), world.clock_ns).look_s == look_s


@pytest.mark.parametrize("retention", [1, 10, 1000, 1_000_000, 2**63 - 1])
def test_by_revisions_all_but_the_newest_go_every_five_minutes(retention: int) -> None:
    world = World()
    world.run(REVISION, retention, 31 * MINUTE_S)
    wanted = [(at, revision_at(at) - retention) for at in range(300, 1801, 300)]
    assert world.tried == [(at, target) for at, target in wanted if target > 0]


@pytest.mark.parametrize(("mode", "amount"), [(PERIODIC, 10 * MINUTE_S * S), (REVISION, 1)])
def test_nothing_is_compacted_again_while_nothing_is_written(mode: str, amount: int) -> None:
    world = World()
    world.grows_until_ns = 900 * S
    world.run(mode, amount, 5 * HOUR_S)
    targets = [target for _, target in world.tried]
    assert targets[-1] == revision_at(900) - (1 if mode == REVISION else 0)
    assert len(set(targets)) == len(targets)


def test_a_period_that_was_missed_is_made_up_for_by_a_new_leader_at_once() -> None:
    world = World()
    world.leads = False

    def elect(now_s: float) -> None:
        world.leads = now_s >= 3 * HOUR_S

    world.watcher = elect
    world.run(PERIODIC, HOUR_S * S, 3 * HOUR_S + 1)
    # Its notes were made all the time, so that what is younger than an hour is kept now, too.
    assert world.tried == [(3 * HOUR_S, revision_at(3 * HOUR_S - 11 * 360))]


@pytest.mark.parametrize(("mode", "amount"), [(PERIODIC, MINUTE_S * S), (REVISION, 10)])
def test_only_the_leader_compacts(mode: str, amount: int) -> None:
    world = World()
    world.leads = False
    world.run(mode, amount, 10 * HOUR_S)
    assert world.tried == []
    assert world.events == []


@pytest.mark.parametrize(
    ("mode", "amount", "again_s"),
    [(PERIODIC, 5 * MINUTE_S * S, 30), (PERIODIC, 24 * HOUR_S * S, 360), (REVISION, 10, 300)],
)
def test_a_failed_compaction_is_tried_again_at_the_next_look(
    mode: str, amount: int, again_s: float
) -> None:
    world = World()
    world.error = FutureRevisionError()
    later_s = amount / S if mode == PERIODIC else 300
    world.run(mode, amount, later_s + 2.5 * again_s)
    tries = world.times()
    assert len(tries) > 1
    assert tries == [later_s + n * again_s for n in range(len(tries))]


def test_a_failure_does_not_let_the_interval_begin_anew() -> None:
    world = World()
    world.error = FutureRevisionError()

    def heal(now_s: float) -> None:
        if now_s > 360:
            world.error = None

    world.watcher = heal
    world.run(PERIODIC, 5 * MINUTE_S * S, 700)
    assert world.times() == [300, 330, 360, 390, 690]


@pytest.mark.parametrize(
    ("mode", "amount", "until_s", "first", "fields"),
    [
        (PERIODIC, 5 * MINUTE_S * S, 300, 1, {"compact-period": "5m0s"}),
        (PERIODIC, 24 * HOUR_S * S, 86400, 1, {"compact-period": "24h0m0s"}),
        (REVISION, 1000, 300, 299_001, {"revision-compaction-retention": 1000}),
    ],
)
def test_the_log_says_what_stocks_says(
    mode: str, amount: int, until_s: float, first: int, fields: dict[str, Any]
) -> None:
    world = World()
    world.run(mode, amount, until_s)
    about = {"revision": first, **fields}
    assert world.lines() == [
        (f"starting auto {mode} compaction", about),
        (f"completed auto {mode} compaction", {**about, "took": "0s"}),
    ]


def test_the_log_tells_of_a_failure_and_when_it_is_tried_again() -> None:
    world = World()
    world.error = FutureRevisionError()
    world.run(PERIODIC, 5 * MINUTE_S * S, 300)
    message, fields = world.lines()[-1]
    assert message == "failed auto periodic compaction"
    assert fields["retry-interval"] == "30s"
    assert fields["error"] is world.error
    assert world.events[-1].level == Level.WARN


def test_what_a_client_has_compacted_counts_as_done() -> None:
    world = World()
    world.error = CompactedError()
    world.run(PERIODIC, MINUTE_S * S, 200)
    assert [message for message, _ in world.lines()] == [
        "starting auto periodic compaction",
        "completed auto periodic compaction",
    ] * 3


def test_a_long_period_is_noted_in_bounded_memory() -> None:
    rule = Periodic(365 * 24 * HOUR_S * S, lambda: 0)
    for revision in range(100_000):
        rule.note(revision)
    assert len(rule._notes) == 365 * 24 * 10 + 1


def test_a_member_compacts_by_itself_through_its_log(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, retention=Retention(PERIODIC, S // 5)) as server:
            await put_many(server, 20)
            newest = server.store.revision
            await eventually(lambda: server.store.compact_revision == newest)
        async with running(tmp_path) as server:  # what was compacted stays compacted
            assert server.store.compact_revision == newest

    asyncio.run(main())
