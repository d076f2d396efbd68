"""One HTTP request and the way back for its answer, whichever HTTP it came by.

An `HttpService` gets a request when its head is there. What it returns (`http2.streams.Receiver`)
gets the body as it comes; it answers by the request's `Exchange`, at once, later, or bit by bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from kvorum.rpc.http import HttpApp, HttpRequest, HttpResponse
from kvorum.rpc.http2.streams import Receiver
from kvorum.server.log import Logger

BODY_BYTES_MAX: Final = 1024 * 1024
"""Of a request whose body nobody wants."""
BODY_KEPT_BYTES_MAX: Final = 1024
"""What a plain endpoint gets of it."""

HeaderList = tuple[tuple[str, str], ...]


class Exchange(Protocol):
    """Where one request is answered. After the end of the answer every method does nothing."""

    common: HeaderList
    """Headers that the answer has besides its own."""
    on_writable: Callable[[], None] | None
    """Called when there is room again, after `send` or `has_room` said that there is none."""

    def respond(self, response: HttpResponse) -> None:
        """Send a whole answer."""
        ...

    def start(self, status: int, headers: HeaderList) -> None:
        """Begin an answer whose length is not known."""
        ...

    def send(self, data: bytes) -> bool:
        """Send a part of the body.

        Returns:
            False: that is enough for now; what is given is kept all the same.
        """
        ...

    def has_room(self, unsent_bytes_max: int) -> bool:
        """Whether at most so many bytes wait for the client to read."""
        ...

    def finish(self) -> None:
        """End an answer that was started."""
        ...

    def abort(self) -> None:
        """Throw away what is not sent yet, and the connection with it: nobody reads there."""
        ...

    def hold(self, size: int) -> bool:
        """Note that `size` bytes of the request are kept. False: too many are on its connection."""
        ...

    def take_time(self) -> None:
        """The request, or its answer, may take for ever. A client that ends its side has left."""
        ...


class HttpService(Protocol):
    """Answers requests."""

    def open(self, request: HttpRequest, exchange: Exchange) -> Receiver: ...


class PlainReceiver:
    """A request for an app that wants at most the beginning of its body; the rest is counted."""

    __slots__ = ("_app", "_body", "_body_bytes", "_exchange", "_log", "_request", "_task")

    def __init__(self, app: HttpApp, request: HttpRequest, exchange: Exchange, log: Logger) -> None:
        self._app = app
        self._request = request
        self._exchange = exchange
        self._log = log
        self._body = b""
        self._body_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def data(self, chunk: bytes, ended: bool) -> None:
        if self._body_bytes > BODY_BYTES_MAX:
            return  # refused already
        self._body_bytes += len(chunk)
        if self._body_bytes > BODY_BYTES_MAX:
            self._exchange.respond(HttpResponse(413, b"413 Request Entity Too Large"))
            return
        self._body += chunk[: BODY_KEPT_BYTES_MAX - len(self._body)]
        if ended:
            self._task = asyncio.ensure_future(self._answer())

    def cancelled(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _answer(self) -> None:
        try:
            response = await self._app(replace(self._request, body=self._body))
        except Exception as error:
            self._log.error("failed to answer a request", path=self._request.path, error=error)
            response = HttpResponse(500, b"Internal Server Error\n")
        self._exchange.respond(response)


class FixedReceiver:
    """A request whose answer is known before its body has come; it is given when it has."""

    __slots__ = ("_body_bytes", "_exchange", "_response")

    def __init__(self, response: HttpResponse, exchange: Exchange) -> None:
        self._response = response
        self._exchange = exchange
        self._body_bytes = 0

    def data(self, chunk: bytes, ended: bool) -> None:
        self._body_bytes += len(chunk)
        if ended or self._body_bytes > BODY_BYTES_MAX:
            self._exchange.respond(self._response)

    def cancelled(self) -> None:
        """Nothing is held."""
