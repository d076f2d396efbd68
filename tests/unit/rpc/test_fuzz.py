"""Any bytes at all: nothing is raised, nothing grows without bound."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvorum.rpc.http2.frames import PREFACE, Limits
from tests.unit.rpc.peer import (
    BUG,
    DATA,
    ECHO,
    FAIL,
    GOAWAY,
    LATER,
    RST,
    SETTINGS,
    SIZED,
    STREAM,
    UPDATE,
    RawClient,
    Server,
    frames_in,
    http2_frame,
    setting,
)

LIMITS = Limits(
    concurrent_streams=10,
    stream_window=20_000,
    stream_buffer_bytes=5_000,
    unsent_bytes=50_000,
    held_bytes=50_000,
    output_bytes=30_000,
)
FRAMES = st.lists(
    st.builds(
        http2_frame,
        st.integers(0, 10),
        st.integers(0, 255),
        st.integers(0, 12),
        st.one_of(st.binary(max_size=40), st.sampled_from([b"\0\0\0\1", b"\0" * 8, b"\x82\x84"])),
    ),
    max_size=30,
).map(b"".join)
PATHS = st.sampled_from([ECHO, FAIL, BUG, LATER, SIZED, STREAM, "/t.T/Watch", "/none"])


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    """Methods that answer later need one."""
    runner = asyncio.Runner()
    asyncio.events._set_running_loop(runner.get_loop())
    yield
    asyncio.events._set_running_loop(None)
    runner.close()


def feed(server: Server, data: bytes, cut: int) -> None:
    """Feed `data` in pieces; the socket takes the output only now and then."""
    connection = server.connection
    for n, at in enumerate(range(0, len(data), cut)):
        connection.receive(data[at : at + cut])
        assert len(connection._buffer) <= 16_384 + 9 + cut
        if n % 3 == 0:
            frames_in(server.output())
    frames_in(server.output())
    assert connection.unsent_bytes >= 0
    assert connection.unsent_bytes == sum(
        stream.pending.size for stream in connection.streams.values() if stream.pending
    )
    assert connection.held_bytes == sum(stream.held for stream in connection.streams.values())
    assert set(connection._blocked) <= set(connection.streams)
    if connection.closing:
        size = len(connection._buffer)
        connection.receive(data)
        assert len(connection._buffer) == size
    connection.lost()
    assert not server.methods.app.open_calls
    assert (connection.unsent_bytes, connection.held_bytes) == (0, 0)
    assert all(call.closes == 1 for call in server.methods.calls)


@settings(max_examples=200)
@given(st.binary(max_size=400), st.integers(1, 200))
def test_any_bytes_after_the_greeting_are_survived(data: bytes, cut: int) -> None:
    server = Server(LIMITS)
    server.receive(PREFACE + http2_frame(SETTINGS, 0, 0))
    feed(server, data, cut)


@settings(max_examples=200)
@given(FRAMES, st.integers(1, 200))
def test_any_frames_are_survived(data: bytes, cut: int) -> None:
    client = RawClient(LIMITS)
    client.receive(client.open(1, STREAM) + client.request(3, ECHO))
    feed(client.server, data, cut)


@st.composite
def traffic(draw: st.DrawFn) -> tuple[RawClient, bytes]:
    """Calls in any order, with some of the bytes of the wire changed, lost or doubled."""
    client = RawClient(LIMITS)
    data = http2_frame(SETTINGS, 0, 0, setting(4, draw(st.sampled_from([0, 10, 65_535]))))
    for stream in range(1, 2 * draw(st.integers(1, 12)), 2):
        data += client.request(stream, draw(PATHS), draw(st.binary(max_size=20)))
        if draw(st.booleans()):
            data += http2_frame(UPDATE, 0, stream, (100).to_bytes(4, "big"))
        if draw(st.booleans()):
            data += http2_frame(DATA, 0, stream, draw(st.binary(max_size=20)))
        if draw(st.booleans()):
            data += http2_frame(RST, 0, stream, b"\0" * 4)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 5)))
        data = (
            data[:at] + draw(st.sampled_from([b"", data[at:end] * 2, b"\0", b"\xff"])) + data[end:]
        )
    return client, data


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(traffic(), st.integers(1, 300))
def test_mutated_traffic_is_survived(made: tuple[RawClient, bytes], cut: int) -> None:
    client, data = made
    feed(client.server, data, cut)


def test_what_is_sent_after_an_error_is_not_even_looked_at() -> None:
    client = RawClient(LIMITS)
    assert client.goaway(http2_frame(DATA, 0, 0) + client.request(1, ECHO)) is not None
    assert all(kind == GOAWAY for kind, *_ in client.receive(client.request(1, ECHO)))
