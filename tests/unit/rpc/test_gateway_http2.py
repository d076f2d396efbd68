"""The gateway by HTTP/2 with prior knowledge. Stock has it with TLS only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events
import pytest

from kvorum.errors import StoppedError
from kvorum.rpc import plain
from tests.unit.rpc.gateway_peer import (
    ANSWER_S,
    FAIL,
    KEEP_ALIVE,
    KEY,
    LATER,
    RANGE,
    WATCH,
    GatewayServer,
    serve,
    wait_until,
)

CREATE = f'{{"create_request":{{"key":"{KEY}"}}}}'.encode()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.h2.initiate_connection()
        self.reads = True
        self._events: list[h2.events.Event] = []
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def open(self, path: str, body: bytes = b"", *, end: bool = True) -> int:
        stream: int = self.h2.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
        self.h2.send_headers(stream, [*head, ("authorization", "secret")])
        self.send(stream, body, end=end)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(stream, data, end_stream=end)
        self.flush()

    async def event(self, stream: int, kind: type[h2.events.Event]) -> h2.events.Event:
        """The next event of a kind on a stream."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                for at, event in enumerate(self._events):
                    if isinstance(event, kind) and getattr(event, "stream_id", None) == stream:
                        return self._events.pop(at)
                data = await self._reader.read(65536)
                assert data, "the connection ended"
                for event in self.h2.receive_data(data):
                    self._events.append(event)
                    if self.reads and isinstance(event, h2.events.DataReceived):
                        size = event.flow_controlled_length or 0
                        self.h2.acknowledge_received_data(size, event.stream_id or 0)
                self.flush()

    async def status(self, stream: int) -> int:
        event = await self.event(stream, h2.events.ResponseReceived)
        assert isinstance(event, h2.events.ResponseReceived)
        return int(dict(event.headers or [])[":status"])

    async def data(self, stream: int) -> bytes:
        event = await self.event(stream, h2.events.DataReceived)
        assert isinstance(event, h2.events.DataReceived)
        return event.data or b""


@pytest.fixture
async def server() -> AsyncIterator[GatewayServer]:
    async with serve() as running:
        yield running


@pytest.fixture
async def client(server: GatewayServer) -> Client:
    connected = await server.connect()
    return Client(connected.reader, connected.writer)


async def test_unary_requests_run_side_by_side(server: GatewayServer, client: Client) -> None:
    slow = client.open(RANGE, f'{{"key":"{LATER}"}}'.encode())
    good = client.open(RANGE, f'{{"key":"{KEY}"}}'.encode())
    bad = client.open(RANGE, f'{{"key":"{FAIL}"}}'.encode())
    assert await client.status(good) == 200
    assert await client.data(good) == b'{"kvs":[{"key":"a2V5"}],"count":"1"}'
    assert await client.status(bad) == 400
    assert json.loads(await client.data(bad))["code"] == 3
    server.methods.futures[0].set_result(b"")
    assert await client.status(slow) == 200
    assert await client.data(slow) == b"{}"


async def test_a_stream_goes_both_ways(client: Client) -> None:
    stream = client.open(KEEP_ALIVE, b'{"ID":1}', end=False)
    assert await client.status(stream) == 200
    assert json.loads(await client.data(stream))["result"]["ID"] == "1"
    client.send(stream, b'{"ID":2}', end=True)
    assert json.loads(await client.data(stream))["result"]["ID"] == "2"
    await client.event(stream, h2.events.StreamEnded)


async def test_a_reset_cancels_the_call(server: GatewayServer, client: Client) -> None:
    stream = client.open(WATCH, CREATE)
    assert await client.status(stream) == 200
    assert server.methods.metadata[0][b"authorization"] == b"secret"
    client.h2.reset_stream(stream)
    client.flush()
    await wait_until(lambda: server.methods.watches[0].closes == 1)
    assert not server.methods.app.open_calls


async def test_a_client_that_does_not_read_stops_the_stream(
    server: GatewayServer, client: Client
) -> None:
    stream = client.open(WATCH, CREATE)
    assert await client.status(stream) == 200
    client.reads = False
    (watching,) = server.methods.watches
    sent = 0
    while watching.send(cancel_reason="x" * 100_000):
        sent += 1
        assert sent < 500, "it is never enough"
    assert not watching.call.has_room(1000)
    client.h2.increment_flow_control_window(2**30)
    client.h2.increment_flow_control_window(2**30, stream)
    client.flush()
    await wait_until(lambda: watching.writables == 1)


async def test_a_body_that_does_not_come_is_not_waited_for(
    server: GatewayServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "REQUEST_S_MAX", 0.1)
    stream = client.open(RANGE, b"{", end=False)
    await client.event(stream, h2.events.StreamReset)
    assert server.gateway.budget.held_bytes == 0


async def test_the_end_of_all_calls_ends_the_stream(server: GatewayServer, client: Client) -> None:
    stream = client.open(WATCH, CREATE)
    assert await client.status(stream) == 200
    await client.data(stream)
    server.methods.app.finish_all(StoppedError())
    failure = json.loads(await client.data(stream))["error"]
    assert failure["message"] == "etcdserver: server stopped"
    await client.event(stream, h2.events.StreamEnded)
