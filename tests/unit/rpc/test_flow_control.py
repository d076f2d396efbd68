"""Windows, both ways, and what waits when they are closed."""

from __future__ import annotations

import struct

from kvorum.proto.rpc_pb2 import RangeRequest
from kvorum.rpc.http2.errors import ErrorCode
from kvorum.rpc.http2.frames import Limits
from kvorum.rpc.http2.streams import Pending
from tests.unit.rpc.peer import (
    DATA,
    ECHO,
    HEADERS,
    RST,
    SETTINGS,
    SIZED,
    STREAM,
    UPDATE,
    H2Client,
    RawClient,
    grpc_frame,
    http2_frame,
    messages_in,
    setting,
)


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def sized(client: RawClient, stream: int, size: int) -> bytes:
    message = RangeRequest(limit=size).SerializeToString()
    return client.open(stream, SIZED) + http2_frame(DATA, 1, stream, grpc_frame(message))


def data_bytes(frames: list[tuple[int, int, int, bytes]], stream: int | None = None) -> int:
    return sum(
        len(payload) for kind, _, of, payload in frames if kind == DATA and stream in {None, of}
    )


def test_a_response_waits_for_the_streams_window() -> None:
    client = RawClient()
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 10)))
    found = client.receive(sized(client, 1, 20))
    assert {kind for kind, *_ in found} == {HEADERS, DATA}
    assert data_bytes(found) == 10
    found = client.receive(http2_frame(UPDATE, 0, 1, u32(10)))
    assert (len(found), data_bytes(found)) == (1, 10)
    found = client.receive(http2_frame(UPDATE, 0, 1, u32(10)))
    assert [kind for kind, *_ in found] == [DATA, HEADERS]
    assert data_bytes(found) == 5
    assert not client.server.connection.unsent_bytes


def test_a_response_waits_for_the_connections_window() -> None:
    client = RawClient()
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 1 << 20)))
    found = client.receive(sized(client, 1, 100_000))
    assert data_bytes(found) == 65_535
    assert data_bytes(client.receive(http2_frame(UPDATE, 0, 0, u32(1000)))) == 1000
    found = client.receive(http2_frame(UPDATE, 0, 0, u32(1 << 20)))
    assert data_bytes(found) == 100_005 - 66_535
    assert found[-1][:2] == (HEADERS, 5)


def test_streams_share_what_the_connection_allows() -> None:
    client = RawClient()
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 1 << 24)))
    client.receive(sized(client, 1, 1 << 20) + sized(client, 3, 1 << 20))
    served = set()
    for _ in range(4):
        found = client.receive(http2_frame(UPDATE, 0, 0, u32(50_000)))
        served |= {stream for kind, _, stream, _ in found if kind == DATA}
    assert served == {1, 3}


def test_a_window_may_be_made_negative_by_settings() -> None:
    """6.9.2: then nothing is sent until updates have brought it above 0."""
    client = RawClient()
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 100)))
    assert data_bytes(client.receive(sized(client, 1, 300))) == 100
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 0)))
    assert client.server.connection.streams[1].window == -100
    assert data_bytes(client.receive(http2_frame(UPDATE, 0, 1, u32(100)))) == 0
    assert data_bytes(client.receive(http2_frame(UPDATE, 0, 1, u32(7)))) == 7
    assert data_bytes(client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 10)))) == 10


def test_only_the_last_of_many_window_settings_counts() -> None:
    client = RawClient()
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 9) + setting(4, 10)))
    assert data_bytes(client.receive(sized(client, 1, 300))) == 10


def test_settings_may_not_lift_a_window_above_the_largest() -> None:
    client = RawClient()
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 0)) + client.open(1, STREAM))
    client.receive(http2_frame(UPDATE, 0, 1, u32(2**31 - 1)))
    data = http2_frame(SETTINGS, 0, 0, setting(4, 1))
    assert client.goaway(data) == ErrorCode.FLOW_CONTROL_ERROR


def test_a_client_that_keeps_to_its_windows_gets_them_renewed() -> None:
    client = H2Client(Limits(stream_window=70_000))
    stream = client.open(STREAM)
    for _ in range(50):
        client.send(stream, key=b"x" * 10_000)  # h2 refuses to send beyond a window
        client.exchange()
    assert len(client.server.methods.calls[0].keys) == 50
    assert messages_in(client.responses[stream].body) == [b"x" * 10_000] * 50


def test_a_client_that_sends_beyond_its_window_is_stopped() -> None:
    client = RawClient(Limits(stream_window=50_000, stream_buffer_bytes=1000))
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 0)) + client.open(1, STREAM))
    message = grpc_frame(RangeRequest(key=b"x" * 5000).SerializeToString())
    resets: list[tuple[int, int]] = []
    for _ in range(12):
        resets += client.reset(http2_frame(DATA, 0, 1, message))
    assert resets == [(1, ErrorCode.FLOW_CONTROL_ERROR)]
    assert client.server.methods.calls[0].closes == 1
    assert client.server.connection.held_bytes == client.server.connection.unsent_bytes == 0


def test_a_client_that_asks_and_never_reads_is_not_listened_to() -> None:
    """Its messages wait unread, its window closes; when it reads, all of them are answered."""
    limits = Limits(stream_window=100_000, stream_buffer_bytes=2000)
    client = H2Client(limits, window=0)
    stream, sent = client.open(STREAM), 0
    while client.h2.local_flow_control_window(stream) > 200:
        client.send(stream, key=b"%0100d" % sent)
        client.exchange()
        sent += 1
    handler = client.server.methods.calls[0]
    assert len(handler.keys) * 105 <= 2000 + 210
    assert client.server.connection.held_bytes > 80_000
    client.h2.increment_flow_control_window(1 << 20, stream)
    client.h2.increment_flow_control_window(1 << 20)
    client.exchange()
    assert handler.keys == [b"%0100d" % n for n in range(sent)]
    assert messages_in(client.responses[stream].body) == handler.keys
    assert handler.writables >= 1
    assert client.server.connection.held_bytes == 0
    assert client.h2.local_flow_control_window(stream) > 200
    client.h2.end_stream(stream)
    client.exchange()
    assert handler.halves == 1
    assert client.responses[stream].status == ("0", "")


def test_an_end_that_comes_while_the_client_does_not_read_is_remembered() -> None:
    client = H2Client(Limits(stream_buffer_bytes=100), window=0)
    stream = client.open(STREAM)
    client.send(stream, key=b"x" * 200)
    client.send(stream, key=b"y", end=True)
    client.exchange()
    handler = client.server.methods.calls[0]
    assert (handler.keys, handler.halves) == ([b"x" * 200], 0)
    client.h2.increment_flow_control_window(1000, stream)
    client.exchange()
    assert (handler.keys, handler.halves) == ([b"x" * 200, b"y"], 1)
    assert messages_in(client.responses[stream].body) == handler.keys


def test_a_wide_window_does_not_make_the_output_grow() -> None:
    """Windows of 2 GB and a socket that is not read: the streams are told to wait."""
    client = RawClient(Limits(output_bytes=100_000, stream_buffer_bytes=100_000))
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 2**31 - 1)))
    client.receive(http2_frame(UPDATE, 0, 0, u32(2**31 - 1 - 65_535)))
    client.receive(client.open(1, STREAM) + http2_frame(DATA, 0, 1, grpc_frame(b"\x0a\x01k")))
    connection = client.server.connection
    stream = connection.streams[1]
    while stream.send(b"x" * 10_000):
        assert connection.unsent_bytes < 200_000
    # Not even when more and more window comes.
    connection.receive(http2_frame(UPDATE, 0, 0, u32(1000)) * 100)
    assert sum(map(len, connection.output)) < 110_000
    assert data_bytes(client.receive(b"")) > 200_000
    assert not stream.refused


def test_many_responses_that_wait_turn_further_calls_away() -> None:
    client = RawClient(Limits(unsent_bytes=100_000))
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 0)))
    for stream in range(1, 9, 2):
        client.receive(sized(client, stream, 40_000))
    assert client.reset(client.open(9, ECHO)) == [(9, ErrorCode.REFUSED_STREAM)]
    for stream in range(1, 9, 2):
        client.receive(http2_frame(RST, 0, stream, u32(8)))
    assert client.server.connection.unsent_bytes == 0
    client.receive(http2_frame(SETTINGS, 0, 0, setting(4, 1000)))
    assert client.is_well(11)


def test_unfinished_messages_share_a_limit() -> None:
    client = RawClient(Limits(held_bytes=100_000))
    part = b"\0" + (50_000).to_bytes(4, "big") + b"x" * 15_000
    statuses = b""
    for stream in range(1, 41, 2):
        data = client.open(stream, (STREAM, ECHO)[stream // 2 % 2])
        for frame in client.receive(data + http2_frame(DATA, 0, stream, part)):
            statuses += frame[3]
        assert client.server.connection.held_bytes <= 100_000
    assert b"too many bytes of unfinished messages" in statuses
    for stream in tuple(client.server.connection.streams):
        client.receive(http2_frame(RST, 0, stream, u32(8)))
    assert client.server.connection.held_bytes == 0


def test_small_pieces_that_wait_are_put_together() -> None:
    pending = Pending()
    expected = b""
    for n in range(5000):
        pending.add(b"%04d" % n)
        expected += b"%04d" % n
    pending.add(b"L" * 3000)
    pending.add(b"tail")
    expected += b"L" * 3000 + b"tail"
    assert len(pending._pieces) < 5
    taken = b""
    while pending.size:
        taken += b"".join(pending.take(min(pending.size, 777)))
    assert taken == expected
