"""A member that does what a test tells it to, and a proxy that breaks connections.

Both speak over real sockets on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from kvorum.client import methods
from kvorum.client.methods import Method
from kvorum.errors import WireError, status_of

Handler = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]
StreamHandler = Callable[
    [AsyncIterator[Any], grpc.aio.ServicerContext[Any, Any]], AsyncIterator[Any]
]

_METHODS: dict[str, Method[Any, Any]] = {
    method.path: method for method in vars(methods).values() if isinstance(method, Method)
}


class FakeMember(grpc.GenericRpcHandler):
    """Answers calls with the functions in `unary` and `streams`, by path. Counts the calls."""

    def __init__(self) -> None:
        self.unary: dict[str, Handler] = {}
        self.streams: dict[str, StreamHandler] = {}
        self.calls: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.endpoint = ""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        self.calls.append(details.method)
        self.metadata.append(dict(details.invocation_metadata))
        method = _METHODS[details.method]
        if details.method in self.unary:
            return grpc.unary_unary_rpc_method_handler(
                _with_errors(self.unary[details.method]),
                request_deserializer=method.request.FromString,
                response_serializer=method.response.SerializeToString,
            )
        if details.method in self.streams:
            return grpc.stream_stream_rpc_method_handler(
                self.streams[details.method],
                request_deserializer=method.request.FromString,
                response_serializer=method.response.SerializeToString,
            )
        return None


def _with_errors(handler: Handler) -> Handler:
    async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await handler(request, context)
        except WireError as error:
            return await fail(context, error)

    return wrapped


async def fail(context: grpc.aio.ServicerContext[Any, Any], error: WireError) -> None:
    """End a call with an error's status."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status_of(error))
    await context.abort(code, error.message)


@contextlib.asynccontextmanager
async def serving(member: FakeMember) -> AsyncIterator[FakeMember]:
    """`member` on a free port."""
    server = grpc.aio.server(handlers=[member])
    port = server.add_insecure_port("127.0.0.1:0")
    member.endpoint = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield member
    finally:
        await server.stop(None)


class Proxy:
    """Passes connections on to `target` (host:port), until it is told to break them."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        """The port to listen on; 0: any. Set it before the proxy is entered."""
        self.endpoint = ""
        self.refuse = False
        """Break new connections at once."""
        self.connections_count = 0

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint = f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection at once, in both directions."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_count += 1
        if self.refuse:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._writers.discard(sink)


async def until(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Return when `condition` holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.002)
