"""A plain HTTP request that came by HTTP/2."""

from __future__ import annotations

import asyncio
from typing import Final

from kvorum.rpc.http import HttpApp, HttpRequest, HttpResponse
from kvorum.rpc.http2.errors import ErrorCode
from kvorum.rpc.http2.hpack import Headers, literal
from kvorum.rpc.http2.streams import Stream
from kvorum.server.log import Logger

BODY_BYTES_MAX: Final = 1024 * 1024


class PlainRequest:
    """Its body is counted and thrown away: no plain endpoint takes one."""

    __slots__ = ("_app", "_body_bytes", "_headers", "_log", "_stream", "_task")

    def __init__(self, app: HttpApp, stream: Stream, headers: Headers, log: Logger) -> None:
        self._app = app
        self._stream = stream
        self._headers = headers
        self._log = log
        self._body_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def data(self, chunk: bytes, ended: bool) -> None:
        self._body_bytes += len(chunk)
        if self._body_bytes > BODY_BYTES_MAX:
            self._stream.reset(ErrorCode.CANCEL)
        elif ended:
            fields = {name: value.decode("latin-1") for name, value in self._headers}
            request = HttpRequest(fields.get(b":method", ""), fields.get(b":path", ""))
            self._task = asyncio.ensure_future(self._answer(request))

    def cancelled(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _answer(self, request: HttpRequest) -> None:
        try:
            response = await self._app(request)
        except Exception as error:
            self._log.error("failed to answer a request", path=request.path, error=error)
            response = HttpResponse(500, b"Internal Server Error\n")
        block = literal(b":status", b"%d" % response.status)
        for name, value in response.headers:
            block += literal(name.encode(), value.encode())
        self._stream.send_headers(block)
        self._stream.end_with_data(b"" if request.method == "HEAD" else response.body)
