"""A plain HTTP request that came by HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kvorum.rpc.exchange import HeaderList
from kvorum.rpc.front import Front
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.rpc.http2.errors import ErrorCode
from kvorum.rpc.http2.hpack import Headers, literal
from kvorum.rpc.http2.streams import Receiver, Stream

REQUEST_S_MAX: Final = 60.0
"""How long a client may take to send a request that is no stream."""


class PlainRequest:
    """One request and its exchange (`exchange.Exchange`)."""

    __slots__ = ("_deadline", "_is_head", "_on_writable", "_receiver", "_stream", "common")

    def __init__(self, front: Front, stream: Stream, headers: Headers) -> None:
        request = HttpRequest(
            _field(headers, b":method"), _field(headers, b":path"), tuple(headers)
        )
        self._stream: Stream | None = stream
        self._is_head = request.method == "HEAD"
        self._on_writable: Callable[[], None] | None = None
        self.common: HeaderList = ()
        self._deadline: asyncio.TimerHandle | None = None
        self._receiver: Receiver | None = None
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_S_MAX, self._expired)
        receiver = front.open(request, self)
        if self._stream is not None:
            self._receiver = receiver

    # What the connection calls.

    def data(self, chunk: bytes, ended: bool) -> None:
        if ended:
            self._stop_clock()
        if self._receiver is not None:
            self._receiver.data(chunk, ended)

    def cancelled(self) -> None:
        self._stop_clock()
        self._stream = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.cancelled()

    def _expired(self) -> None:
        stream = self._stream
        self.cancelled()
        if stream is not None:
            stream.reset(ErrorCode.CANCEL)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # What the service calls.

    @property
    def on_writable(self) -> Callable[[], None] | None:
        return self._on_writable

    @on_writable.setter
    def on_writable(self, callback: Callable[[], None] | None) -> None:
        self._on_writable = callback
        if self._stream is not None:
            self._stream.on_writable = callback

    def respond(self, response: HttpResponse) -> None:
        self.start(response.status, tuple(response.headers))
        self._end(b"" if self._is_head else response.body)

    def start(self, status: int, headers: HeaderList) -> None:
        if self._stream is None:
            return
        block = literal(b":status", b"%d" % status)
        for name, value in (*self.common, *headers):
            block += literal(name.encode("latin-1"), value.encode("latin-1"))
        self._stream.send_headers(block)

    def send(self, data: bytes) -> bool:
        return self._stream is None or self._is_head or self._stream.send(data)

    def has_room(self, unsent_bytes_max: int) -> bool:
        stream = self._stream
        pending = None if stream is None else stream.pending
        if stream is None or pending is None or pending.size <= unsent_bytes_max:
            return True
        stream.refused = True
        return False

    def finish(self) -> None:
        self._end(b"")

    def abort(self) -> None:
        self._expired()

    def hold(self, size: int) -> bool:
        return self._stream is None or self._stream.hold(size)

    def take_time(self) -> None:
        self._stop_clock()

    def _end(self, data: bytes) -> None:
        self._stop_clock()
        stream, self._stream, self._receiver = self._stream, None, None
        if stream is not None:
            stream.on_writable = None
            stream.end_with_data(data)


def _field(headers: Headers, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key == name), "")
