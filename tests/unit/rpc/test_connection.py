"""Rules of HTTP/2 that a client may break, one by one; numbers are sections of RFC 9113."""

from __future__ import annotations

import struct

import pytest

from kvorum.rpc.http2.errors import ErrorCode
from kvorum.rpc.http2.frames import PREFACE, Limits
from kvorum.rpc.http2.pings import SETTINGS_FRAMES_MAX
from tests.unit.rpc.peer import (
    CONTINUATION,
    DATA,
    EAGER,
    ECHO,
    GOAWAY,
    HEADERS,
    LATER,
    PING,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    STREAM,
    UPDATE,
    RawClient,
    Server,
    grpc_frame,
    http2_frame,
    setting,
)

OPEN_FLAG_END = 0x5


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def test_the_server_greets_with_its_settings() -> None:
    server = Server(Limits(concurrent_streams=7, stream_window=70_000))
    (settings, update) = server.receive(b"")
    assert settings[0] == SETTINGS
    assert setting(3, 7) in settings[3]
    assert setting(4, 70_000) in settings[3]
    assert update == (UPDATE, 0, 0, u32(16 * 1024 * 1024 - 65_535))


def test_a_greeting_may_come_byte_by_byte() -> None:
    server = Server()
    server.output()
    found = []
    for byte in PREFACE + http2_frame(SETTINGS, 0, 0):
        found += server.receive(bytes((byte,)))
    assert found == [(SETTINGS, 1, 0, b"")]


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nXX",
        b"GET / HTTP/1.1\r\n\r\n",
        PREFACE + http2_frame(PING, 0, 0, b"\0" * 8),
    ],
)
def test_a_connection_without_a_greeting_is_ended(data: bytes) -> None:
    server = Server()
    server.output()
    (found,) = server.receive(data)
    assert found[0] == GOAWAY
    assert server.connection.closing
    assert server.receive(b"\0" * 100_000) == []
    assert not server.connection._buffer


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(http2_frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR, id="5.1.1 data on 0"),
        pytest.param(http2_frame(DATA, 0, 9, b"x"), ErrorCode.PROTOCOL_ERROR, id="5.1 idle"),
        pytest.param(http2_frame(DATA, 8, 1, b"\5abc"), ErrorCode.PROTOCOL_ERROR, id="6.1 padding"),
        pytest.param(http2_frame(RST, 0, 9, u32(0)), ErrorCode.PROTOCOL_ERROR, id="6.4 idle"),
        pytest.param(http2_frame(RST, 0, 0, u32(0)), ErrorCode.PROTOCOL_ERROR, id="6.4 on 0"),
        pytest.param(http2_frame(RST, 0, 1, b"abc"), ErrorCode.FRAME_SIZE_ERROR, id="6.4 size"),
        pytest.param(http2_frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR, id="6.5 stream"),
        pytest.param(http2_frame(SETTINGS, 0, 0, b"a"), ErrorCode.FRAME_SIZE_ERROR, id="6.5 size"),
        pytest.param(http2_frame(SETTINGS, 1, 0, b"a"), ErrorCode.FRAME_SIZE_ERROR, id="6.5 ack"),
        pytest.param(
            http2_frame(SETTINGS, 0, 0, setting(2, 2)), ErrorCode.PROTOCOL_ERROR, id="6.5.2 push"
        ),
        pytest.param(
            http2_frame(SETTINGS, 0, 0, setting(4, 2**31)),
            ErrorCode.FLOW_CONTROL_ERROR,
            id="6.5.2 window",
        ),
        pytest.param(
            http2_frame(SETTINGS, 0, 0, setting(5, 100)), ErrorCode.PROTOCOL_ERROR, id="6.5.2 frame"
        ),
        pytest.param(http2_frame(PUSH, 4, 1, b"abcd"), ErrorCode.PROTOCOL_ERROR, id="6.6 push"),
        pytest.param(http2_frame(PING, 0, 0, b"a"), ErrorCode.FRAME_SIZE_ERROR, id="6.7 size"),
        pytest.param(http2_frame(PING, 0, 1, b"a" * 8), ErrorCode.PROTOCOL_ERROR, id="6.7 stream"),
        pytest.param(http2_frame(UPDATE, 0, 0, b"a"), ErrorCode.FRAME_SIZE_ERROR, id="6.9 size"),
        pytest.param(http2_frame(UPDATE, 0, 0, u32(0)), ErrorCode.PROTOCOL_ERROR, id="6.9 zero"),
        pytest.param(http2_frame(UPDATE, 0, 9, u32(1)), ErrorCode.PROTOCOL_ERROR, id="6.9 idle"),
        pytest.param(
            http2_frame(UPDATE, 0, 0, u32(2**31 - 1)),
            ErrorCode.FLOW_CONTROL_ERROR,
            id="6.9.1 connection overflow",
        ),
        pytest.param(http2_frame(CONTINUATION, 4, 1), ErrorCode.PROTOCOL_ERROR, id="6.10 alone"),
        pytest.param(
            http2_frame(PRIORITY, 0, 0, b"a" * 5), ErrorCode.PROTOCOL_ERROR, id="6.3 on 0"
        ),
        pytest.param(http2_frame(HEADERS, 0x24, 3, b"ab"), ErrorCode.FRAME_SIZE_ERROR, id="6.2"),
        pytest.param(
            http2_frame(HEADERS, 4, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR, id="5.1.1 even"
        ),
        pytest.param(http2_frame(HEADERS, 4, 0, b"\x82"), ErrorCode.PROTOCOL_ERROR, id="6.2 on 0"),
        pytest.param(
            http2_frame(HEADERS, 4, 1, b"\x82"), ErrorCode.PROTOCOL_ERROR, id="8.1 no end"
        ),
        pytest.param(http2_frame(HEADERS, 4, 3, b"\xff"), ErrorCode.COMPRESSION_ERROR, id="4.3"),
        pytest.param(
            http2_frame(HEADERS, 0, 3) + http2_frame(DATA, 0, 1),
            ErrorCode.PROTOCOL_ERROR,
            id="4.3 interrupted",
        ),
        pytest.param(
            http2_frame(HEADERS, 0, 3) + http2_frame(CONTINUATION, 0, 5, b"a"),
            ErrorCode.PROTOCOL_ERROR,
            id="6.10 other stream",
        ),
        pytest.param(b"\0\x40\x01" + b"\0" * 6, ErrorCode.FRAME_SIZE_ERROR, id="4.2 too large"),
    ],
)
def test_a_broken_rule_ends_the_connection(data: bytes, code: ErrorCode) -> None:
    client = RawClient()
    client.receive(client.open(1, STREAM))
    assert client.goaway(data) == code
    client.server.connection.lost()
    assert [call.closes for call in client.server.methods.calls] == [1]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(http2_frame(UPDATE, 0, 1, u32(0)), ErrorCode.PROTOCOL_ERROR, id="zero"),
        pytest.param(
            http2_frame(UPDATE, 0, 1, u32(2**31 - 1)), ErrorCode.FLOW_CONTROL_ERROR, id="overflow"
        ),
    ],
)
def test_a_rule_of_one_stream_ends_that_stream(data: bytes, code: ErrorCode) -> None:
    client = RawClient()
    client.receive(client.open(1, STREAM))
    assert client.reset(data) == [(1, code)]
    assert client.server.methods.calls[0].closes == 1
    assert not client.server.methods.app.open_calls
    assert client.is_well(3)


@pytest.mark.parametrize(
    "late", [http2_frame(DATA, 0, 1, b"x"), http2_frame(HEADERS, 5, 1, b"\x82")]
)
def test_what_comes_after_the_end_of_a_stream_resets_it(late: bytes) -> None:
    client = RawClient()
    call = client.open(1, EAGER)
    client.receive(call)
    handler = client.server.methods.calls[0]
    handler.half_closed = lambda: None  # type: ignore[method-assign]
    client.receive(http2_frame(DATA, 1, 1))
    assert client.reset(late) == [(1, ErrorCode.STREAM_CLOSED)]
    assert handler.closes == 1
    assert client.is_well(3)


def test_what_comes_after_our_end_of_a_stream_is_passed_over() -> None:
    """5.1: the client could not know; its header block still counts for its table."""
    client = RawClient()
    found = client.receive(client.open(1, "/no.Such/Method"))
    assert found[-1] == (RST, 0, 1, u32(ErrorCode.NO_ERROR))
    trailers = http2_frame(HEADERS, 5, 1, client.encoder.encode([("x-new", "entry")]))
    assert client.reset(http2_frame(DATA, 0, 1, b"x") + trailers) == []
    assert client.is_well(3)
    # But a stream id may not be used again.
    assert client.goaway(client.open(3, ECHO)) == ErrorCode.PROTOCOL_ERROR


def test_a_response_before_the_clients_end_asks_it_to_stop() -> None:
    """8.1: a reset without error, behind the whole response, and only then."""
    client = RawClient()
    message = grpc_frame(b"\x0a\x01k")
    found = client.receive(client.open(1, ECHO) + http2_frame(DATA, 0, 1, message))
    assert [(kind, flags) for kind, flags, _, _ in found] == [(1, 4), (0, 0), (1, 5), (3, 0)]
    assert found[-1][3] == u32(ErrorCode.NO_ERROR)
    found = client.receive(client.request(3, ECHO))
    assert [kind for kind, *_ in found] == [1, 0, 1]
    assert not client.server.connection.streams


def test_a_refusal_of_a_request_without_body_needs_no_reset() -> None:
    client = RawClient()
    found = client.receive(client.open(1, "/no.Such/Method", flags=OPEN_FLAG_END))
    assert [kind for kind, *_ in found] == [HEADERS]


def test_padding_priority_and_unknown_frames_change_nothing() -> None:
    client = RawClient()
    block = client.block(ECHO)
    padded = http2_frame(HEADERS, 0x4 | 0x8 | 0x20, 1, b"\3" + b"\0" * 5 + block + b"\0" * 3)
    body = http2_frame(DATA, 0x9, 1, b"\4" + grpc_frame(b"\x0a\x01k") + b"\0" * 4)
    other = http2_frame(77, 0xFF, 0, b"?") + http2_frame(PRIORITY, 0, 5, b"\0" * 5)
    found = client.receive(other + padded + other + body)
    assert [kind for kind, *_ in found] == [HEADERS, DATA, HEADERS]


def test_a_header_block_may_come_in_pieces() -> None:
    client = RawClient()
    block = client.block(ECHO)
    data = http2_frame(HEADERS, 0, 1, block[:1])
    data += b"".join(http2_frame(CONTINUATION, 0, 1, block[n : n + 1]) for n in range(1, 20))
    data += http2_frame(CONTINUATION, 4, 1, block[20:])
    data += http2_frame(DATA, 1, 1, grpc_frame(b"\x0a\x01k"))
    assert [kind for kind, *_ in client.receive(data)] == [HEADERS, DATA, HEADERS]


@pytest.mark.parametrize("piece", [b"", b"x" * 16_384])
def test_a_header_block_without_end_is_cut_off(piece: bytes) -> None:
    client = RawClient()
    data = http2_frame(HEADERS, 0, 1, b"\x82") + http2_frame(CONTINUATION, 0, 1, piece) * 6
    assert client.goaway(data) == ErrorCode.ENHANCE_YOUR_CALM


def test_too_many_streams_are_refused_and_may_be_tried_again() -> None:
    client = RawClient(Limits(concurrent_streams=2))
    client.receive(client.open(1, STREAM) + client.open(3, STREAM))
    assert client.reset(client.open(5, STREAM)) == [(5, ErrorCode.REFUSED_STREAM)]
    client.receive(http2_frame(RST, 0, 1, u32(8)))
    assert client.is_well(7)


def test_requests_that_are_reset_at_once_leave_nothing_behind() -> None:
    """CVE-2023-44487: each costs the client what it costs us, and nothing is kept."""
    client = RawClient()
    for stream in range(1, 20_001, 2):
        client.receive(client.open(stream, STREAM) + http2_frame(RST, 0, stream, u32(8)))
    server = client.server
    assert not server.connection.streams
    assert not server.methods.app.open_calls
    assert all(call.closes == 1 for call in server.methods.calls)
    assert client.is_well(20_001)


def test_streams_that_we_ended_are_remembered_in_a_bounded_way() -> None:
    client = RawClient()
    for stream in range(1, 10_001, 2):
        client.receive(client.open(stream, "/no.Such/Method"))
    assert len(client.server.connection._late) <= 1024


def test_a_flood_of_settings_ends_the_connection() -> None:
    client = RawClient()
    flood = http2_frame(SETTINGS, 0, 0) * (SETTINGS_FRAMES_MAX - 1)
    assert client.goaway(flood) is None
    client.server.clock.now_s += 61
    assert client.goaway(flood) is None
    assert client.goaway(http2_frame(SETTINGS, 0, 0) * 2) == ErrorCode.ENHANCE_YOUR_CALM


def test_after_the_goodbye_open_streams_go_on_and_new_ones_are_refused() -> None:
    client = RawClient()
    client.receive(client.open(1, STREAM))
    client.server.connection.go_away(ErrorCode.NO_ERROR, "graceful_stop")
    (goodbye,) = client.receive(b"")
    assert goodbye == (GOAWAY, 0, 0, u32(1) + u32(0) + b"graceful_stop")
    assert client.reset(client.open(3, ECHO)) == [(3, ErrorCode.REFUSED_STREAM)]
    found = client.receive(http2_frame(DATA, 1, 1, grpc_frame(b"\x0a\x01k")))
    assert [kind for kind, *_ in found] == [HEADERS, DATA, HEADERS]


async def test_a_lost_connection_cancels_what_is_open() -> None:
    client = RawClient()
    client.receive(client.request(1, LATER) + client.open(3, STREAM))
    server = client.server
    server.connection.lost()
    assert server.methods.calls[0].closes == 1
    assert server.methods.futures[0].cancelled()
    assert client.receive(b"") == []
    assert (server.connection.held_bytes, server.connection.streams) == (0, {})
