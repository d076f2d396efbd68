"""How often a client may ping, on a clock of our own."""

from __future__ import annotations

import pytest

from kvorum.rpc.http2.errors import ErrorCode, Http2Error
from kvorum.rpc.http2.pings import (
    IDLE_PING_INTERVAL_S,
    SETTINGS_FRAMES_MAX,
    SETTINGS_PERIOD_S,
    KeepAlive,
    PingPolicy,
)
from tests.unit.rpc.peer import ECHO, PING, STREAM, Clock, RawClient, http2_frame

A_PING = http2_frame(PING, 0, 0, b"12345678")


def policy(min_time_s: float = 5.0) -> tuple[PingPolicy, Clock]:
    clock = Clock(100.0)
    return PingPolicy(KeepAlive(min_time_s=min_time_s), clock), clock


@pytest.mark.parametrize(
    ("has_streams", "interval_s"), [(True, 5.0), (False, IDLE_PING_INTERVAL_S)]
)
def test_pings_at_the_allowed_pace_go_on_for_ever(has_streams: bool, interval_s: float) -> None:
    pings, clock = policy()
    for _ in range(100):
        assert not pings.too_many(has_streams)
        clock.now_s += interval_s


@pytest.mark.parametrize(
    ("has_streams", "interval_s"), [(True, 4.9), (False, IDLE_PING_INTERVAL_S - 1)]
)
def test_the_third_ping_that_comes_too_soon_is_one_too_many(
    has_streams: bool, interval_s: float
) -> None:
    pings, clock = policy()
    judged = []
    for _ in range(4):
        judged.append(pings.too_many(has_streams))
        clock.now_s += interval_s
    assert judged == [False, False, False, True]


def test_what_was_sent_in_between_forgives_earlier_pings() -> None:
    pings, _ = policy()
    for _ in range(100):
        pings.note_sent()
        assert not pings.too_many(True)
        assert not pings.too_many(True)


def test_settings_are_counted_by_the_minute() -> None:
    pings, clock = policy()
    for _ in range(3):
        for _ in range(SETTINGS_FRAMES_MAX):
            pings.note_settings()
        clock.now_s += SETTINGS_PERIOD_S
    for _ in range(SETTINGS_FRAMES_MAX):
        pings.note_settings()
    with pytest.raises(Http2Error) as caught:
        pings.note_settings()
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM


def test_a_ping_is_answered_with_what_it_said() -> None:
    client = RawClient()
    assert client.receive(A_PING) == [(PING, 1, 0, b"12345678")]
    assert client.receive(http2_frame(PING, 1, 0, b"12345678")) == []


def test_a_flood_of_pings_ends_the_connection() -> None:
    client = RawClient(keep_alive=KeepAlive(min_time_s=1.0))
    client.receive(client.open(1, STREAM))
    assert client.goaway(A_PING * 1000) == ErrorCode.ENHANCE_YOUR_CALM


def test_pings_beside_calls_are_welcome() -> None:
    client = RawClient()
    for stream in range(1, 201, 2):
        assert client.goaway(client.request(stream, ECHO) + A_PING + A_PING) is None
