"""Bytes that are no proper request: broken messages, broken gRPC frames, broken HTTP.

Every code and text here is what stock etcd 3.5.1 answered to the same bytes
(KVORUM_TEST_SERVER=<stock etcd> runs them against it).
"""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import pytest

from kvorum.proto import rpc_pb2 as rpc
from tests.robustness.calls import Calls, Status
from tests.robustness.raw_http2 import RawHttp2, grpc_frame
from tests.servers import Server, start_server

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"

OK, UNKNOWN, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 2, 8, 12, 13
UNARY = "grpc: error unmarshalling request: "
STREAM = "grpc: failed to unmarshal the received message "

MESSAGE = rpc.PutRequest(key=b"bad", value=b"value").SerializeToString()
ANSWER_S = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as running:
        with Calls(running.target) as calls:
            calls.put(b"good", b"value")
        yield running


@pytest.fixture(autouse=True)
def nothing_changes(server: Server) -> Iterator[None]:
    """Around each test: the same store before and after, and a server that answers others."""
    with Calls(server.target) as calls:
        before = everything(calls)
    yield
    with Calls(server.target) as calls:
        assert everything(calls) == before


def everything(calls: Calls) -> tuple[int, list[tuple[bytes, int]]]:
    answer = calls.get(b"\0", b"\0")
    return answer.header.revision, [(kv.key, kv.mod_revision) for kv in answer.kvs]


@pytest.mark.parametrize(
    ("path", "message", "expected"),
    [
        pytest.param(PUT, b"\xff\xff\xff", (INTERNAL, UNARY + "unexpected EOF"), id="endless tag"),
        pytest.param(PUT, b"\x0a\x05ab", (INTERNAL, UNARY + "unexpected EOF"), id="short field"),
        pytest.param(RANGE, b"\x0a\x05ab", (INTERNAL, UNARY + "unexpected EOF"), id="short range"),
        pytest.param(
            PUT, MESSAGE + b"\x18\x80", (INTERNAL, UNARY + "unexpected EOF"), id="endless number"
        ),
        pytest.param(
            PUT,
            b"\x08\x05",
            (INTERNAL, UNARY + "proto: wrong wireType = 0 for field Key"),
            id="wrong wire type",
        ),
        pytest.param(
            PUT,
            b"\x02\x01a",
            (INTERNAL, UNARY + "proto: PutRequest: illegal tag 0 (wire type 2)"),
            id="field 0",
        ),
        pytest.param(
            PUT,
            MESSAGE + b"\x18" + b"\xff" * 11,
            (INTERNAL, UNARY + "proto: integer overflow"),
            id="number of 77 bits",
        ),
    ],
)
def test_a_malformed_message_is_refused(
    server: Server, path: str, message: bytes, expected: Status
) -> None:
    with RawHttp2(server.client_port) as raw:
        assert raw.call(path, grpc_frame(message)).status == expected
        # The connection is well: the next call on it is served.
        assert raw.call(RANGE, grpc_frame(b"\x0a\x04good")).status == (OK, "")


@pytest.mark.parametrize("path", [WATCH, KEEP_ALIVE])
def test_a_malformed_message_ends_its_stream_only(server: Server, path: str) -> None:
    with RawHttp2(server.client_port) as raw:
        stream = raw.open(path)
        raw.send(stream, grpc_frame(b"\xff"))
        assert raw.finish(stream).status == (INTERNAL, STREAM + "unexpected EOF")
        assert raw.call(RANGE, grpc_frame(b"\x0a\x04good")).status == (OK, "")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etcdserverpb.KV/Foo", "unknown method Foo for service etcdserverpb.KV"),
        ("/etcdserverpb.KV/", "unknown method  for service etcdserverpb.KV"),
        ("/foo.Bar/Baz", "unknown service foo.Bar"),
        ("/etcdserverpb.Kv/Put", "unknown service etcdserverpb.Kv"),
    ],
)
def test_an_unknown_method_or_service_is_named(server: Server, path: str, expected: str) -> None:
    with RawHttp2(server.client_port) as raw:
        assert raw.call(path, grpc_frame(MESSAGE)).status == (UNIMPLEMENTED, expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", (UNKNOWN, "EOF"), id="no message"),
        pytest.param(b"\0\0\0", (UNKNOWN, "unexpected EOF"), id="cut prefix"),
        pytest.param(grpc_frame(MESSAGE)[:5], (UNKNOWN, "unexpected EOF"), id="prefix alone"),
        pytest.param(grpc_frame(MESSAGE)[:-2], (UNKNOWN, "unexpected EOF"), id="cut message"),
    ],
)
def test_a_truncated_frame_is_refused(server: Server, body: bytes, expected: Status) -> None:
    with RawHttp2(server.client_port) as raw:
        assert raw.call(PUT, body).status == expected


@pytest.mark.parametrize(("path", "body"), [(WATCH, b"\0\0\0\0\2\n"), (KEEP_ALIVE, b"\0\0")])
def test_a_truncated_frame_ends_a_stream(server: Server, path: str, body: bytes) -> None:
    with RawHttp2(server.client_port) as raw:
        assert raw.call(path, body).status == (INTERNAL, "unexpected EOF")


def test_a_call_broken_off_in_its_frame_has_no_effect(server: Server) -> None:
    """The client leaves in the middle of a message: once by a reset, once by closing the socket."""
    with RawHttp2(server.client_port) as raw:
        stream = raw.open(PUT)
        raw.send(stream, grpc_frame(MESSAGE)[:-2])
        raw.h2.reset_stream(stream)
        raw.flush()
        assert raw.call(RANGE, grpc_frame(b"\x0a\x04good")).status == (OK, "")
        raw.send(raw.open(PUT), grpc_frame(MESSAGE)[:-2])


@pytest.mark.parametrize("size", [2_097_153, 0xFFFFFFFF])
def test_a_frame_that_announces_too_much_is_refused_at_once(server: Server, size: int) -> None:
    """By the prefix: the server neither waits for the rest nor sets memory aside for it."""
    with RawHttp2(server.client_port) as raw:
        stream = raw.open(PUT)
        raw.send(stream, b"\0" + size.to_bytes(4, "big") + b"x" * 10)
        expected = f"grpc: received message larger than max ({size} vs. 2097152)"
        assert raw.finish(stream).status == (RESOURCE_EXHAUSTED, expected)


NOT_INSTALLED = (UNIMPLEMENTED, 'grpc: Decompressor is not installed for grpc-encoding "snappy"')
FLAG_ALONE = (INTERNAL, "grpc: compressed flag set with identity or empty encoding")


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        pytest.param("snappy", grpc_frame(MESSAGE, compressed=True), NOT_INSTALLED, id="snappy"),
        pytest.param("snappy", grpc_frame(MESSAGE), NOT_INSTALLED, id="snappy, flag not set"),
        pytest.param(None, grpc_frame(MESSAGE, compressed=True), FLAG_ALONE, id="no encoding"),
        pytest.param("identity", grpc_frame(MESSAGE, compressed=True), FLAG_ALONE, id="identity"),
        pytest.param(
            "gzip",
            grpc_frame(b"garbage", compressed=True),
            (INTERNAL, "grpc: failed to decompress the received message unexpected EOF"),
            id="no gzip",
        ),
        pytest.param(
            None,
            b"\x02" + grpc_frame(MESSAGE)[1:],
            (INTERNAL, "grpc: received unexpected payload format 2"),
            id="flag 2",
        ),
    ],
)
def test_a_compressed_message_that_cannot_be_read_is_refused(
    server: Server, encoding: str | None, body: bytes, expected: Status
) -> None:
    headers = {} if encoding is None else {"grpc-encoding": encoding}
    with RawHttp2(server.client_port) as raw:
        assert raw.call(PUT, body, headers=headers).status == expected


def test_a_gzip_message_that_unpacks_to_too_much_is_refused(server: Server) -> None:
    """A few kilobytes on the wire, 64 MiB in memory: the limit counts what comes out."""
    body = grpc_frame(gzip.compress(b"\0" * (64 << 20)), compressed=True)
    with RawHttp2(server.client_port) as raw:
        refused = raw.call(PUT, body, headers={"grpc-encoding": "gzip"}).status
    expected = f"grpc: received message larger than max ({64 << 20} vs. 2097152)"
    assert refused == (RESOURCE_EXHAUSTED, expected)


def send_raw(server: Server, data: bytes) -> bytes:
    """What the server answers to `data`, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.client_port), timeout=ANSWER_S) as raw:
        answer = b""
        try:
            raw.sendall(data)
            while chunk := raw.recv(65_536):
                answer += chunk
        except ConnectionError:
            pass  # closed with our bytes unread: a reset instead of an end
        return answer


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GARBAGE\r\n\r\n", id="no request line"),
        pytest.param(b"\x00\x01\x02garbage\r\n\r\n", id="binary"),
        pytest.param(b"\n", id="empty line"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", id="half an HTTP/2 preface"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"z" * 100, id="no HTTP/2 frames"),
    ],
)
def test_garbage_is_answered_by_closing(server: Server, data: bytes) -> None:
    """Nothing is served: no answer, an HTTP error, or HTTP/2 control frames, then the end."""
    answer = send_raw(server, data)
    if answer.startswith(b"HTTP/1"):
        assert answer.split(b" ", 2)[1].startswith((b"4", b"5")), answer
    else:
        assert not answer or data.startswith(b"PRI"), answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET /health HTTP/1.1\r\n\r\n", b"400", id="no host"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", b"400", id="header"),
        pytest.param(
            b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"400",
            id="negative length",
        ),
        pytest.param(
            b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (2 << 20) + b"\r\n\r\n",
            b"431",
            id="header of 2 MiB",
        ),
        pytest.param(
            b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404", id="path"
        ),
        pytest.param(
            b"POST /etcdserverpb.KV/Put HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n",
            b"404",
            id="gRPC over HTTP/1",
        ),
    ],
)
def test_a_bad_http_1_request_gets_an_http_error(
    server: Server, data: bytes, status: bytes
) -> None:
    answer = send_raw(server, data)
    assert answer.startswith(b"HTTP/1.1 " + status + b" "), answer[:200]


def test_a_connection_that_says_nothing_more_harms_nobody(server: Server) -> None:
    """A TLS greeting on a plain port, null bytes, half a request: a server may wait for more."""
    with (
        socket.create_connection(("127.0.0.1", server.client_port)) as half,
        socket.create_connection(("127.0.0.1", server.client_port)) as greeting,
        socket.create_connection(("127.0.0.1", server.client_port)) as nulls,
        Calls(server.target) as calls,
    ):
        greeting.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 600)
        nulls.sendall(b"\0" * 100)
        half.sendall(b"GET /health\r\n")
        assert calls.get(b"good").count == 1
