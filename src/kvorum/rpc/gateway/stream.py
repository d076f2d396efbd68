"""A request to a streaming method: values in, lines out, each as soon as it is there.

The answer begins with its first line. While the client does not read, no more of its messages are
read either (`_refused`), and the method is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kvorum.errors import Code, DeadlineError, StatusError, WireError
from kvorum.rpc.calls import CallHandler
from kvorum.rpc.exchange import Exchange
from kvorum.rpc.frames import HEAD_BYTES, FrameReader
from kvorum.rpc.gateway.body import Holding, body_too_large, read_body
from kvorum.rpc.gateway.decode import JsonError
from kvorum.rpc.gateway.dialect import EMPTY_STREAM, GOOD_STREAM
from kvorum.rpc.gateway.encode import to_json
from kvorum.rpc.gateway.metadata import timeout_s, to_metadata
from kvorum.rpc.gateway.unary import through_wire
from kvorum.rpc.gateway.values import ValueReader
from kvorum.rpc.http import HttpRequest
from kvorum.rpc.metadata import Metadata

if TYPE_CHECKING:
    from kvorum.rpc.gateway.gateway import Gateway
    from kvorum.rpc.gateway.routes import Route

_FRAME_BYTES_MAX: Final = 2**32


class StreamRequest:
    """One call: a `Receiver` for the connection, a `Call` for the method."""

    __slots__ = (
        "_broken",
        "_ended",
        "_exchange",
        "_frames",
        "_gateway",
        "_half_closed",
        "_handler",
        "_holding",
        "_on_writable",
        "_over",
        "_refused",
        "_request",
        "_route",
        "_started",
        "_timer",
        "_values",
        "metadata",
    )

    def __init__(
        self, gateway: Gateway, route: Route, request: HttpRequest, exchange: Exchange
    ) -> None:
        self._gateway = gateway
        self._route = route
        self._request = request
        self._exchange = exchange
        self._values = ValueReader(gateway.budget.body_bytes_max)
        self._holding = Holding(gateway.budget, exchange)
        self._frames = FrameReader(_FRAME_BYTES_MAX)
        self._handler: CallHandler | None = None
        self._on_writable: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = False
        self._refused = False
        """The client has enough to read for now."""
        self._ended = False
        """The client has sent its last value."""
        self._half_closed = False
        """The method knows that."""
        self._broken = False
        """It has sent what is none, and what follows is not looked at."""
        self._over = False
        self.metadata = Metadata(())
        exchange.on_writable = self._writable

    # For the connection.

    def data(self, chunk: bytes, ended: bool) -> None:
        if self._over or self._half_closed:
            return
        self._ended = ended
        try:
            if not self._broken:
                self._values.feed(chunk)
            self._read()
        except Exception as error:
            self._fail(error)

    def cancelled(self) -> None:
        self._close()

    def _read(self) -> None:
        """Give the method what has come."""
        while not self._refused and not self._over and not self._broken:
            text = self._next()
            if text is None:
                break
            self._give(text)
        if self._over:
            return
        self._holding.set(self._values.size)
        if self._ended and not self._refused and not self._half_closed:
            self._half_closed = True
            self._open().half_closed()

    def _next(self) -> str | None:
        """The next value. A method that takes one has the first of what has come at the end."""
        takes_one = not self._route.client_streams
        try:
            text = self._values.take(ended=self._ended) if self._ended or not takes_one else None
        except JsonError:
            raise body_too_large() from None
        return "" if text is None and takes_one and self._ended else text

    def _give(self, text: str) -> None:
        first = self._handler is None
        try:
            message = read_body(self._route.request, text, self._gateway.dialect)
        except StatusError as error:
            if not first:
                self._break()
                return
            code = Code.UNKNOWN if self._route.client_streams else Code.INVALID_ARGUMENT
            self._respond(StatusError(code, error.message))
            return
        size_max = self._gateway.services.size_max
        request, _ = through_wire(self._route.request, message, size_max)
        handler = self._open()
        if not self._over:
            handler.message(request)
        if not self._route.client_streams:
            self._broken = True  # one value is all that it takes
            self._values = ValueReader(0)

    def _break(self) -> None:
        """As if the client had said no more."""
        self._broken = self._ended = True
        self._values = ValueReader(0)

    def _open(self) -> CallHandler:
        """The method's side of the call."""
        if self._handler is not None:
            return self._handler
        services, path = self._gateway.services, self._route.grpc_path
        found = services.streaming(path)
        if found is None:
            raise services.unknown(path)
        self.metadata = Metadata(to_metadata(self._request.headers))
        wait_s = timeout_s(self._request.header(b"grpc-timeout"))
        services.check_leader(self.metadata)
        services.open_calls.add(self)
        if wait_s is not None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._expired)
        self._exchange.take_time()
        self._handler = found[1](self)
        return self._handler

    def _writable(self) -> None:
        if self._over:
            return
        self._refused = False
        try:
            if self._on_writable is not None:
                self._on_writable()
            self._read()
        except Exception as error:
            self._fail(error)

    def _expired(self) -> None:
        self.finish(DeadlineError())

    # For the method.

    def start(self) -> None:
        """Nothing is sent before the first message, as stock's gateway has it."""

    def send(self, frames: bytes) -> bool:
        if self._over:
            return True
        size = len(frames) - HEAD_BYTES
        if frames[1:HEAD_BYTES] == size.to_bytes(4, "big"):
            self._send(frames[HEAD_BYTES:])
        else:
            self._frames.feed(frames)
            while (message := self._frames.take()) is not None:
                self._send(message)
        return not self._refused

    def has_room(self, unsent_bytes_max: int) -> bool:
        return self._over or self._exchange.has_room(unsent_bytes_max)

    def on_writable(self, callback: Callable[[], None]) -> None:
        self._on_writable = callback

    def finish(self, error: WireError | None = None) -> None:
        if self._over:
            return
        self._close()
        exchange, dialect = self._exchange, self._gateway.dialect
        if error is not None and not self._started:
            exchange.respond(dialect.stream_failure(error))
            return
        if not self._started:
            exchange.start(200, EMPTY_STREAM)
        if error is not None:
            exchange.send(dialect.stream_failure(error).body)
        exchange.finish()

    def _send(self, message: bytes) -> None:
        """Send a line. In HTTP/1.1 it is a chunk of its own: some clients take that for a line."""
        if not self._started:
            self._started = True
            self._exchange.start(200, GOOD_STREAM)
        line = b'{"result":%b}\n' % to_json(self._route.response.FromString(message))
        if not self._exchange.send(line):
            self._refused = True

    # The end.

    def _respond(self, error: WireError) -> None:
        """Refuse what never became a call."""
        self._close()
        self._exchange.respond(self._gateway.dialect.failure(error))

    def _fail(self, error: Exception) -> None:
        if self._over:
            return
        wire_error = self._gateway.services.as_wire_error(error)
        if self._handler is None and not self._started:
            self._respond(wire_error)
        else:
            self.finish(wire_error)

    def _close(self) -> None:
        if self._over:
            return
        self._over = True
        self._holding.drop()
        self._values = ValueReader(0)
        if self._timer is not None:
            self._timer.cancel()
        services = self._gateway.services
        services.open_calls.discard(self)
        if self._handler is not None:
            try:
                self._handler.closed()
            except Exception as error:
                services.failed(error)
