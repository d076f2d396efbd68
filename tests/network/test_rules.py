"""What one link decides, without any packets."""

from __future__ import annotations

import math
from random import Random

from tests.network.rules import Counts, Link, Rule

COUNT = 10_000
FULL_BYTES = 1500


def arrivals(rule: Rule, count: int = COUNT, step_s: float = 0.001) -> list[float | None]:
    """When each of `count` packets arrives, one sent every `step_s`."""
    link = Link(Random(1), rule)
    return [link.accept(FULL_BYTES, number * step_s) for number in range(count)]


def test_without_a_rule_everything_arrives_at_once() -> None:
    assert arrivals(Rule(), 3) == [0.0, 0.001, 0.002]


def test_a_tenth_is_lost() -> None:
    lost = arrivals(Rule(loss=0.1, queue_packets_max=COUNT)).count(None)
    assert abs(lost - COUNT / 10) < 4 * math.sqrt(COUNT * 0.1 * 0.9)


def test_what_is_delayed_alike_stays_in_order() -> None:
    assert arrivals(Rule(delay_s=0.2), 3) == [0.2, 0.201, 0.202]


def test_jitter_lets_packets_overtake_each_other_within_its_bounds() -> None:
    times = arrivals(Rule(delay_s=0.2, jitter_s=0.05), 1000)
    took = [time - number * 0.001 for number, time in enumerate(times) if time is not None]
    assert 0.2 - 1e-9 <= min(took) < 0.201
    assert 0.249 < max(took) <= 0.25
    assert times != sorted(time for time in times if time is not None)


def test_a_blocked_link_lets_nothing_through() -> None:
    assert arrivals(Rule(blocked=True), 3) == [None] * 3


def test_a_full_queue_loses_what_comes_until_there_is_room() -> None:
    link = Link(Random(1), Rule(delay_s=1.0, queue_packets_max=2))
    assert [link.accept(FULL_BYTES, 0.0) for _ in range(3)] == [1.0, 1.0, None]
    link.arrived()
    assert link.accept(FULL_BYTES, 0.5) == 1.5
    assert link.counts == Counts(delivered=1, overflowed=1)


def test_packets_follow_one_another_at_the_rate_of_the_link() -> None:
    link = Link(Random(1), Rule(bytes_per_s=15_000, delay_s=1.0))
    assert [link.accept(FULL_BYTES, 0.0) for _ in range(3)] == [1.1, 1.2, 1.3]
    assert link.accept(FULL_BYTES, 5.0) == 6.1  # the line was free again
