"""WebSockets at the paths of the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from kvorum.rpc import websocket
from tests.unit.rpc.gateway_peer import (
    ANSWER_S,
    KEEP_ALIVE,
    KEY,
    WATCH,
    GatewayServer,
    serve,
    wait_until,
)

CREATE = f'{{"create_request":{{"key":"{KEY}"}}}}'


class Socket:
    """A client's WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._machine = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    def send(self, event: Event) -> None:
        self.writer.write(self._machine.send(event))

    async def event(self) -> Event:
        """The next event, with the parts of a message put together."""
        text = ""
        async with asyncio.timeout(ANSWER_S):
            while True:
                while not self._events:
                    self._machine.receive_data(await self._reader.read(65536) or None)
                    self._events.extend(self._machine.events())
                event = self._events.pop(0)
                if not isinstance(event, TextMessage):
                    return event
                text += event.data
                if event.message_finished:
                    return TextMessage(text)

    async def line(self) -> object:
        event = await self.event()
        assert isinstance(event, TextMessage), event
        assert "\n" not in event.data
        return json.loads(event.data)


async def connect(server: GatewayServer, path: str, *, first: bytes = b"", **more: str) -> Socket:
    client = await server.connect()
    socket = Socket(client.reader, client.writer)
    headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in more.items()]
    socket.send(Request(host="localhost", target=path, extra_headers=headers))
    return socket


async def opened(server: GatewayServer, path: str, **more: str) -> Socket:
    socket = await connect(server, path, **more)
    assert isinstance(await socket.event(), AcceptConnection)
    return socket


@pytest.fixture
async def server() -> AsyncIterator[GatewayServer]:
    async with serve() as running:
        yield running


async def test_messages_are_the_requests_and_lines_the_answers(server: GatewayServer) -> None:
    socket = await opened(server, WATCH)
    socket.send(TextMessage(CREATE))
    assert await socket.line() == {"result": {"created": True}}
    (watching,) = server.methods.watches
    watching.send(watch_id=5)
    assert await socket.line() == {"result": {"watch_id": "5"}}
    socket.send(BytesMessage(CREATE.encode()))
    assert await socket.line() == {"result": {"created": True}}
    assert len(watching.requests) == 2
    assert watching.halves == 0


async def test_a_message_may_come_in_fragments(server: GatewayServer) -> None:
    socket = await opened(server, KEEP_ALIVE)
    socket.send(TextMessage('{"ID":', message_finished=False))
    socket.send(Ping(b"x"))
    socket.send(TextMessage("7}"))
    assert isinstance(await socket.event(), Pong)
    assert await socket.line() == {"result": {"ID": "7", "TTL": "60"}}


async def test_closing_it_cancels_the_call(server: GatewayServer) -> None:
    socket = await opened(server, WATCH)
    socket.send(TextMessage(CREATE))
    await socket.line()
    socket.send(CloseConnection(code=1000))
    assert isinstance(await socket.event(), CloseConnection)
    (watching,) = server.methods.watches
    await wait_until(lambda: watching.closes == 1)
    await wait_until(lambda: not server.listener.connections)
    assert not server.methods.app.open_calls


async def test_losing_it_cancels_the_call(server: GatewayServer) -> None:
    socket = await opened(server, WATCH)
    socket.send(TextMessage(CREATE))
    await socket.line()
    socket.writer.transport.abort()
    (watching,) = server.methods.watches
    await wait_until(lambda: watching.closes == 1)
    await wait_until(lambda: not server.listener.connections)


async def test_the_end_of_the_call_closes_it(server: GatewayServer) -> None:
    socket = await opened(server, WATCH)
    socket.send(TextMessage(CREATE))
    await socket.line()
    await server.listener.stop()
    failure = await socket.line()
    assert isinstance(failure, dict)
    assert failure["error"]["message"] == "etcdserver: server stopped"
    assert isinstance(await socket.event(), CloseConnection)


async def test_a_refusal_is_a_message_too(server: GatewayServer) -> None:
    socket = await opened(server, "/v3/nope")
    event = await socket.event()
    assert isinstance(event, TextMessage)
    assert event.data == "Not Found"
    assert isinstance(await socket.event(), CloseConnection)
    socket = await opened(server, WATCH)
    socket.send(TextMessage("[]"))
    failure = await socket.line()
    assert isinstance(failure, dict)
    assert (failure["code"], len(server.methods.watches)) == (2, 0)
    assert isinstance(await socket.event(), CloseConnection)


async def test_a_message_above_the_limit_is_refused(server: GatewayServer) -> None:
    socket = await opened(server, WATCH)
    size = server.gateway.budget.body_bytes_max
    for _ in range(3):
        socket.send(TextMessage('{"' + "x" * (size // 2), message_finished=False))
    failure = await socket.line()
    assert isinstance(failure, dict)
    assert failure["message"] == "http: request body too large"
    assert isinstance(await socket.event(), CloseConnection)
    assert server.gateway.budget.held_bytes == 0


async def test_bad_frames_end_it(server: GatewayServer) -> None:
    socket = await opened(server, WATCH)
    socket.writer.write(b"\xff\xff\xff")
    event = await socket.event()
    assert isinstance(event, CloseConnection)
    assert event.code == 1002
    await wait_until(lambda: not server.listener.connections)


async def test_a_client_that_does_not_close_its_side_is_not_waited_for(
    server: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_S_MAX", 0.1)
    socket = await opened(server, WATCH)
    socket.send(TextMessage("[]"))
    await wait_until(lambda: not server.listener.connections)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec_websocket_protocol": "Bearer, secret"}, b"Bearer secret"),
        ({"sec_websocket_protocol": "Bearer,secret"}, b"Bearer secret"),
        ({"sec_websocket_protocol": "Bearer"}, None),
        ({"cookie": "a=b; token=secret"}, b"Bearer secret"),
        ({"authorization": "secret"}, None),
    ],
)
async def test_the_token_comes_by_protocol_or_cookie(
    server: GatewayServer, headers: dict[str, str], expected: bytes | None
) -> None:
    client = await server.connect()
    lines = [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    client.head(
        WATCH,
        "upgrade: websocket",
        "connection: keep-alive, Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        *lines,
        method="GET",
    )
    status, found = await client.answer_head()
    assert (status, found["sec-websocket-accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    assert found.get("sec-websocket-protocol") == (
        "Bearer" if "cookie" not in headers and "authorization" not in headers else None
    )
    machine = WSConnection(ConnectionType.CLIENT)
    machine.send(Request(host="localhost", target="/"))
    text = CREATE.encode()
    client.send(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    await wait_until(lambda: server.methods.metadata)
    assert server.methods.metadata[0].get(b"authorization") == expected


@pytest.mark.parametrize("wrong", [{"sec-websocket-key": "short"}, {"sec-websocket-version": "8"}])
async def test_a_malformed_opening_is_refused(server: GatewayServer, wrong: dict[str, str]) -> None:
    client = await server.connect()
    headers = {
        "upgrade": "websocket",
        "connection": "upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    } | wrong
    client.head(WATCH, *(f"{name}: {text}" for name, text in headers.items()), method="GET")
    assert (await client.answer())[0] == 400


async def test_there_are_none_outside_of_the_gateway(server: GatewayServer) -> None:
    socket = await connect(server, "/health")
    assert isinstance(await socket.event(), RejectConnection)


async def test_none_for_a_name_that_is_not_ours() -> None:
    async with serve(hosts=["good.example"]) as server:
        socket = await connect(server, WATCH)
        event = await socket.event()
        assert isinstance(event, RejectConnection)
        assert event.status_code == 421
