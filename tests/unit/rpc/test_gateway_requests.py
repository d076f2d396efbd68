"""Requests through the gateway, on sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest

from kvorum.errors import NoSpaceError
from kvorum.proto.rpc_pb2 import RangeResponse
from kvorum.proto.versions import Version
from kvorum.rpc import http1
from kvorum.rpc.exchange import BODY_BYTES_MAX
from tests.unit.rpc.gateway_peer import (
    BUG,
    FAIL,
    KEEP_ALIVE,
    KEY,
    LATER,
    RANGE,
    SIZE_MAX,
    SNAPSHOT,
    WATCH,
    GatewayServer,
    line,
    serve,
    wait_until,
)

CREATE = f'{{"create_request":{{"key":"{KEY}"}}}}'
JSON_TOO_LARGE = b'{"error":"http: request body too large","code":8,"message":'


@pytest.fixture
async def server() -> AsyncIterator[GatewayServer]:
    async with serve() as running:
        yield running


# Unary methods.


async def test_a_method_is_called_and_its_answer_is_json(server: GatewayServer) -> None:
    client = await server.connect()
    client.post(RANGE, f'{{"key":"{KEY}","limit":"2"}}')
    status, headers, body = await client.answer()
    assert (status, body) == (200, b'{"kvs":[{"key":"a2V5","value":"eHg="}],"count":"1"}')
    assert headers["content-type"] == "application/json"
    assert headers["grpc-metadata-content-type"] == "application/grpc"
    assert headers["access-control-allow-origin"] == "*"


async def test_a_connection_serves_request_after_request(server: GatewayServer) -> None:
    client = await server.connect()
    for n in range(3):
        assert (await client.ask(RANGE, f'{{"key":"{KEY}","limit":{n}}}'))[0] == 200
        assert (await client.ask(RANGE, "{"))[0] == 400
        assert (await client.ask(KEEP_ALIVE, "["))[0] == 500
        assert (await client.ask(KEEP_ALIVE, '{"ID":1}{"ID":"x"}{}'))[0] == 200
        assert (await client.ask("/v3/nope"))[0] == 404
    assert [request.limit for request in server.methods.ranges] == [0, 1, 2]


async def test_a_body_may_come_in_pieces(server: GatewayServer) -> None:
    client = await server.connect()
    client.head(RANGE, "transfer-encoding: chunked")
    for piece in (b'{"key":"a2', b'V5","li', b'mit":1}'):
        client.chunk(piece)
        await asyncio.sleep(0)
    assert not server.methods.ranges
    client.chunk(b"")
    assert (await client.answer())[0] == 200


async def test_a_client_that_waits_for_leave_to_send_gets_it(server: GatewayServer) -> None:
    client = await server.connect()
    body = f'{{"key":"{KEY}"}}'
    client.head(RANGE, f"content-length: {len(body)}", "expect: 100-continue")
    assert (await client.answer_head())[0] == 100
    client.send(body.encode())
    assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    ("key", "status", "body"),
    [
        (FAIL, 400, {"code": 3, "message": "etcdserver: key is not provided"}),
        (BUG, 500, {"code": 13, "message": "internal error; the member's log has the details"}),
    ],
)
async def test_a_failure_has_its_status_and_body(
    server: GatewayServer, key: str, status: int, body: dict[str, object]
) -> None:
    client = await server.connect()
    found, answer = await client.ask(RANGE, f'{{"key":"{key}"}}')
    assert (found, json.loads(answer)) == (status, body | {"error": body["message"]})


async def test_an_answer_may_take_its_time_and_fail(server: GatewayServer) -> None:
    client = await server.connect()
    for end in ("answer", "fail", "cancel"):
        client.post(RANGE, f'{{"key":"{LATER}"}}')
        await wait_until(lambda: server.methods.futures)
        future = server.methods.futures.pop()
        if end == "answer":
            future.set_result(RangeResponse(count=7).SerializeToString())
            expected = (200, b'{"count":"7"}')
        elif end == "fail":
            future.set_exception(NoSpaceError())
            text = b"etcdserver: mvcc: database space exceeded"
            expected = (429, b'{"error":"%b","code":8,"message":"%b"}' % (text, text))
        else:
            future.cancel()
            text = b"etcdserver: request canceled"
            expected = (408, b'{"error":"%b","code":1,"message":"%b"}' % (text, text))
        status, _, body = await client.answer()
        assert (status, body) == expected


async def test_a_client_that_leaves_hears_nothing_and_harms_nothing(
    server: GatewayServer,
) -> None:
    client = await server.connect()
    client.post(RANGE, f'{{"key":"{LATER}"}}')
    await wait_until(lambda: server.methods.futures)
    client.writer.transport.abort()
    await wait_until(lambda: not server.listener.connections)
    assert server.methods.futures[0].cancelled()
    other = await server.connect()
    assert (await other.ask(RANGE, f'{{"key":"{KEY}"}}'))[0] == 200
    assert not server.methods.log.errors


async def test_the_client_may_set_a_deadline(server: GatewayServer) -> None:
    client = await server.connect()
    status, body = await client.ask(RANGE, f'{{"key":"{LATER}"}}', "grpc-timeout: 10m")
    assert (status, json.loads(body)["code"]) == (504, 4)
    status, body = await client.ask(RANGE, f'{{"key":"{KEY}"}}', "grpc-timeout: soon")
    assert (status, json.loads(body)["message"]) == (400, "invalid grpc-timeout: soon")


async def test_a_method_that_is_not_served_is_unimplemented(server: GatewayServer) -> None:
    client = await server.connect()
    for path, text in (
        ("/v3/kv/put", "unknown method Put for service etcdserverpb.KV"),
        ("/v3/lock/lock", "unknown service v3lockpb.Lock"),
        ("/v3/election/observe", "unknown service v3electionpb.Election"),
    ):
        status, body = await client.ask(path, "{}")
        assert (status, json.loads(body)["message"]) == (501, text)


async def test_a_request_for_a_leader_is_refused_without_one(server: GatewayServer) -> None:
    client = await server.connect()
    server.methods.has_leader = False
    header = "Grpc-Metadata-hasleader: true"
    for path in (RANGE, WATCH):
        status, body = await client.ask(path, f'{{"key":"{KEY}"}}', header)
        assert (status, json.loads(body)["message"]) == (503, "etcdserver: no leader")
    assert (await client.ask(RANGE, f'{{"key":"{KEY}"}}'))[0] == 200


async def test_a_message_nested_too_deeply_is_refused(server: GatewayServer) -> None:
    client = await server.connect()
    for depth in (3_000, 30_000):
        status, body = await client.ask(RANGE, '{"x":' * depth)
        assert (status, json.loads(body)["code"]) == (400, 3)
    assert not server.methods.log.errors


# Bodies that are too large, and that do not come.


async def test_a_message_above_the_limit_is_refused_with_its_size(server: GatewayServer) -> None:
    client = await server.connect()
    key = base64.b64encode(b"x" * (SIZE_MAX + 1)).decode()
    status, body = await client.ask(RANGE, f'{{"key":"{key}"}}')
    text = f"grpc: received message larger than max ({SIZE_MAX + 5} vs. {SIZE_MAX})"
    assert (status, json.loads(body)) == (429, {"error": text, "code": 8, "message": text})


@pytest.mark.parametrize("path", [RANGE, WATCH, KEEP_ALIVE, SNAPSHOT])
async def test_a_body_above_the_limit_is_refused_before_its_end(
    server: GatewayServer, path: str
) -> None:
    client = await server.connect()
    client.head(path, "content-length: 1000000000")
    client.send(b'{"x":"' + b"x" * 2 * SIZE_MAX)
    status, headers, body = await client.answer()
    assert status == 429
    assert body.startswith(JSON_TOO_LARGE)
    assert headers["connection"] == "close"
    client.send(b"x" * SIZE_MAX)
    assert await client.is_closed()
    assert server.gateway.budget.held_bytes == 0


async def test_all_bodies_together_have_a_limit(server: GatewayServer) -> None:
    server.gateway.budget.held_bytes_max = 13_500
    clients = [await server.connect() for _ in range(3)]
    for client in clients[:2]:
        client.head(RANGE, "content-length: 9000")
        client.send(b"{" + b" " * 4_000)
    await wait_until(lambda: server.gateway.budget.held_bytes == 8_002)
    clients[2].head(RANGE, "content-length: 9000")
    clients[2].send(b"{" + b" " * 6_000)
    assert (await clients[2].answer())[0] == 429
    clients[0].send(b" " * 4_998 + b"}")
    assert (await clients[0].answer())[0] == 200
    clients[1].writer.close()
    await wait_until(lambda: server.gateway.budget.held_bytes == 0)


@pytest.mark.parametrize("path", [RANGE, WATCH, SNAPSHOT])
async def test_a_body_that_does_not_come_is_not_waited_for(
    server: GatewayServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, "REQUEST_S_MAX", 0.1)
    client = await server.connect()
    client.head(path, "content-length: 10")
    client.send(b"{")
    assert await client.is_closed()
    await wait_until(lambda: server.gateway.budget.held_bytes == 0)


@pytest.mark.parametrize("header", ["accept: */*", "connection: upgrade\r\nupgrade: other"])
async def test_a_client_that_goes_on_before_it_is_answered_has_a_limit(
    server: GatewayServer, header: str
) -> None:
    client = await server.connect()
    client.post(RANGE, f'{{"key":"{LATER}"}}', header)
    await wait_until(lambda: server.methods.futures)
    client.send(b"x" * (http1.WAITING_BYTES_MAX + 1))
    assert await client.is_closed()
    await wait_until(server.methods.futures[0].cancelled)


async def test_a_body_that_nobody_wants_is_counted(server: GatewayServer) -> None:
    client = await server.connect()
    client.post("/v3/nope", b"x" * 1000)
    assert (await client.answer())[0] == 404
    client.head("/v3/nope", f"content-length: {2 * BODY_BYTES_MAX}")
    client.send(b"x" * (BODY_BYTES_MAX + 1))
    assert (await client.answer())[0] == 404
    assert await client.is_closed()


# Streams.


async def test_each_message_of_a_stream_is_answered_by_a_line(server: GatewayServer) -> None:
    client = await server.connect()
    client.post(KEEP_ALIVE, '{"ID":1} {"ID":"2"}\n{"id":3}')
    status, headers = await client.answer_head()
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    found = [line(await client.answer_chunk()) for _ in range(3)]
    assert [one["result"].get("ID") for one in found] == ["1", "2", None]
    assert await client.answer_chunk() == b""


async def test_a_stream_goes_both_ways_at_the_same_time(server: GatewayServer) -> None:
    client = await server.connect()
    client.head(KEEP_ALIVE, "transfer-encoding: chunked")
    client.chunk(b'{"ID":1')
    client.chunk(b'}{"ID"')
    assert (await client.answer_head())[0] == 200
    assert line(await client.answer_chunk())["result"]["ID"] == "1"
    client.chunk(b":2}")
    assert line(await client.answer_chunk())["result"]["ID"] == "2"
    client.chunk(b"")
    assert await client.answer_chunk() == b""
    assert (await client.ask(RANGE, f'{{"key":"{KEY}"}}'))[0] == 200


async def test_messages_sent_at_once_are_lines_and_chunks_of_their_own(
    server: GatewayServer,
) -> None:
    client = await server.connect()
    client.post(SNAPSHOT, "")
    assert (await client.answer_head())[0] == 200
    blobs = [line(await client.answer_chunk())["result"]["blob"] for _ in range(3)]
    assert [base64.b64decode(blob) for blob in blobs] == [b"0", b"1", b"2"]
    assert await client.answer_chunk() == b""


async def test_a_watch_goes_on_when_the_request_has_ended(server: GatewayServer) -> None:
    client = await server.connect()
    client.post(WATCH, CREATE)
    assert (await client.answer_head())[0] == 200
    assert line(await client.answer_chunk()) == {"result": {"created": True}}
    (watching,) = server.methods.watches
    assert watching.halves == 1
    assert watching.closes == 0
    watching.send(watch_id=5)
    assert line(await client.answer_chunk()) == {"result": {"watch_id": "5"}}
    client.writer.write_eof()
    await wait_until(lambda: watching.closes == 1)
    assert not server.methods.app.open_calls


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ('{"create_request":{"key":"!"}}', 500, "illegal base64 data at input byte 0"),
        ("[", 500, "unexpected EOF"),
        ("x ", 500, "invalid character 'x' looking for beginning of value"),
    ],
)
async def test_a_first_message_that_is_none_refuses_the_stream(
    server: GatewayServer, body: str, status: int, message: str
) -> None:
    client = await server.connect()
    found, answer = await client.ask(WATCH, body)
    assert (found, json.loads(answer)["message"]) == (status, message)
    assert not server.methods.watches


async def test_a_later_message_that_is_none_ends_the_requests(server: GatewayServer) -> None:
    client = await server.connect()
    client.post(WATCH, CREATE + "{]}" + CREATE)
    assert (await client.answer_head())[0] == 200
    (watching,) = server.methods.watches
    assert (len(watching.requests), watching.halves, watching.closes) == (1, 1, 0)


async def test_a_stream_that_fails_at_once_has_a_status(server: GatewayServer) -> None:
    client = await server.connect()
    status, body = await client.ask(WATCH, f'{{"create_request":{{"key":"{FAIL}"}}}}')
    assert status == 400
    assert json.loads(body) == {
        "error": {
            "grpc_code": 11,
            "http_code": 400,
            "message": "etcdserver: mvcc: required revision has been compacted",
            "http_status": "Bad Request",
        }
    }


async def test_a_stream_that_fails_later_says_so_in_its_last_line(server: GatewayServer) -> None:
    client = await server.connect()
    client.head(WATCH, "transfer-encoding: chunked")
    client.chunk(CREATE.encode())
    assert (await client.answer_head())[0] == 200
    line(await client.answer_chunk())
    client.chunk(f'{{"create_request":{{"key":"{BUG}"}}}}'.encode())
    failure = json.loads(await client.answer_chunk())["error"]
    assert (failure["grpc_code"], failure["http_code"]) == (13, 500)
    assert await client.answer_chunk() == b""
    client.chunk(b"")
    assert (await client.ask(RANGE, f'{{"key":"{KEY}"}}'))[0] == 200
    assert server.methods.watches[0].closes == 1


async def test_the_end_of_the_server_ends_its_streams(server: GatewayServer) -> None:
    client = await server.connect()
    client.post(WATCH, CREATE)
    assert (await client.answer_head())[0] == 200
    line(await client.answer_chunk())
    await server.listener.stop()
    failure = json.loads(await client.answer_chunk())["error"]
    assert (failure["grpc_code"], failure["message"]) == (14, "etcdserver: server stopped")
    assert await client.answer_chunk() == b""
    assert await client.is_closed()


async def test_a_client_that_does_not_read_stops_the_stream(server: GatewayServer) -> None:
    client = await server.connect()
    client.post(WATCH, CREATE)
    await wait_until(lambda: server.methods.watches)
    (watching,) = server.methods.watches
    sent = 0
    while watching.send(cancel_reason="x" * 100_000):
        sent += 1
        assert sent < 500, "it is never enough"
        await asyncio.sleep(0)
    assert not watching.call.has_room(1000)
    assert watching.writables == 0
    assert (await client.answer_head())[0] == 200
    line(await client.answer_chunk())
    for _ in range(sent + 1):
        line(await client.answer_chunk())
    assert watching.writables == 1
    assert watching.call.has_room(1000)


async def test_the_metadata_of_a_call_is_made_of_headers(server: GatewayServer) -> None:
    client = await server.connect()
    client.post(
        WATCH,
        CREATE,
        "Authorization: secret",
        "Grpc-Metadata-Token: other",
        "Grpc-Metadata-X-Bin: AAE",
        "Accept: */*",
        "X-Mine: no",
    )
    assert (await client.answer_head())[0] == 200
    (metadata,) = server.methods.metadata
    assert metadata == {
        b"authorization": b"secret",
        b"grpcgateway-authorization": b"secret",
        b"grpcgateway-accept": b"*/*",
        b"grpcgateway-host": b"localhost:1",
        b"token": b"other",
        b"x-bin": b"\0\1",
    }


# Paths, and what versions differ in.


@pytest.mark.parametrize(
    ("version", "served", "elsewhere"),
    [
        (Version(3, 2), ["/v3alpha"], ["/v3beta", "/v3"]),
        (Version(3, 3), ["/v3beta", "/v3alpha"], ["/v3"]),
        (Version(3, 4, 23), ["/v3", "/v3beta"], ["/v3alpha"]),
        (Version(3, 6), ["/v3", "/v3beta"], ["/v3alpha"]),
    ],
)
async def test_prefixes_go_by_the_version(
    version: Version, served: list[str], elsewhere: list[str]
) -> None:
    async with serve(version) as server:
        client = await server.connect()
        for prefix in served:
            assert (await client.ask(f"{prefix}/kv/range", "{}"))[0] == 200
            assert (await client.ask(f"{prefix}/nope", "{}"))[0] == 404
        for prefix in elsewhere:
            _, body = await client.ask(f"{prefix}/kv/range", "{}")
            assert body == f"plain {prefix}/kv/range".encode()


@pytest.mark.parametrize(
    ("version", "body"),
    [
        (Version(3, 3), b'{"error":"%b","code":3}'),
        (Version(3, 4, 23), b'{"error":"%b","message":"%b","code":3}'),
        (Version(3, 5, 1), b'{"error":"%b","code":3,"message":"%b"}'),
        (Version(3, 6), b'{"code":3,"message":"%b"}'),
    ],
)
async def test_failures_are_worded_by_the_version(version: Version, body: bytes) -> None:
    async with serve(version) as server:
        client = await server.connect()
        prefix = "/v3beta"
        found = await client.ask(f"{prefix}/kv/range", f'{{"key":"{FAIL}"}}')
        assert found == (400, body.replace(b"%b", b"etcdserver: key is not provided"))


@pytest.mark.parametrize(
    ("version", "status", "body"),
    [
        (Version(3, 5, 1), 405, b"Method Not Allowed\n"),
        (Version(3, 6), 501, b'{"code":12,"message":"Method Not Allowed"}'),
    ],
)
async def test_only_post_is_allowed(version: Version, status: int, body: bytes) -> None:
    async with serve(version) as server:
        client = await server.connect()
        for method in ("GET", "PUT", "BREW"):
            client.post(RANGE, "", method=method)
            found, _, answer = await client.answer()
            assert (found, answer) == (status, body)
        assert not server.methods.ranges


@pytest.mark.parametrize(
    ("path", "location"),
    [("/v3", "/v3/"), ("/v3//kv/range?x=1", "/v3/kv/range?x=1"), ("/v3/./kv/", "/v3/kv/")],
)
async def test_an_untidy_path_is_moved(server: GatewayServer, path: str, location: str) -> None:
    client = await server.connect()
    client.post(path)
    status, headers, _ = await client.answer()
    assert (status, headers["location"]) == (301, location)
