"""HTTP/1.1 for the plain endpoints, on the library h11.

Bounds: a request's head has at most `HEAD_BYTES_MAX`, its body `BODY_BYTES_MAX`; a client that
takes longer than `REQUEST_S_MAX` to send a request, or sends none for `IDLE_S_MAX`, is
disconnected.

Source: RFC 9112, by h11.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import h11

from kvorum.rpc.http import HttpApp, HttpRequest, HttpResponse
from kvorum.server.log import Logger

HEAD_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 1024 * 1024
REQUEST_S_MAX: Final = 60.0
IDLE_S_MAX: Final = 300.0
WAITING_BYTES_MAX: Final = 256 * 1024
"""What a client may send while its last request is being answered."""


class Http1Connection:
    """One HTTP/1.1 connection, fed by the listener's protocol."""

    def __init__(self, app: HttpApp, transport: asyncio.Transport, log: Logger) -> None:
        self._app = app
        self._transport = transport
        self._log = log
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._request: h11.Request | None = None
        self._body_bytes = 0
        self._answering: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_idle = True
        self._client_ended = False
        self._waiting_bytes = 0
        self._expect_end(IDLE_S_MAX)

    def receive(self, data: bytes) -> None:
        if self._answering is not None:
            self._waiting_bytes += len(data)
            if self._waiting_bytes > WAITING_BYTES_MAX:
                self._transport.abort()
                return
        elif self._is_idle:
            self._expect_end(REQUEST_S_MAX)
            self._is_idle = False
        self._machine.receive_data(data)
        self._advance()

    def ended(self) -> bool:
        """The client has sent its last byte. True: it has an answer to get still."""
        self._client_ended = True
        return self._answering is not None

    def lost(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._answering is not None:
            self._answering.cancel()

    def _expect_end(self, wait_s: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(wait_s, self._transport.abort)

    def _advance(self) -> None:
        """Take the events that are complete; answer when a request is."""
        try:
            while self._answering is None:
                event = self._machine.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                if isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                    return
                self._take(event)
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._request = event
            self._body_bytes = 0
        elif isinstance(event, h11.Data):
            self._body_bytes += len(event.data)
            if self._body_bytes > BODY_BYTES_MAX:
                raise h11.RemoteProtocolError("body too large", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage):
            assert self._request is not None
            if self._deadline is not None:
                self._deadline.cancel()
            request = HttpRequest(
                self._request.method.decode("latin-1"), self._request.target.decode("latin-1")
            )
            self._answering = asyncio.ensure_future(self._answer(request))

    async def _answer(self, request: HttpRequest) -> None:
        try:
            response = await self._app(request)
        except Exception as error:
            self._log.error("failed to answer a request", path=request.path, error=error)
            response = HttpResponse(500, b"Internal Server Error\n")
        self._send(response, with_body=request.method != "HEAD")
        self._answering = None
        self._waiting_bytes = 0
        if self._machine.our_state is h11.DONE and not self._transport.is_closing():
            self._machine.start_next_cycle()
            # What has come of a next request counts as its beginning.
            self._is_idle = not self._machine.trailing_data[0]
            self._expect_end(IDLE_S_MAX if self._is_idle else REQUEST_S_MAX)
            self._advance()
            if not self._client_ended or self._answering is not None:
                return
        self._transport.close()

    def _send(self, response: HttpResponse, *, with_body: bool = True) -> None:
        send = self._machine.send
        status = response.status
        head = h11.Response(
            status_code=status, headers=response.headers, reason=HTTPStatus(status).phrase.encode()
        )
        parts = [send(head)]
        if with_body:
            parts.append(send(h11.Data(data=response.body)))
        parts.append(send(h11.EndOfMessage()))
        self._transport.write(b"".join(part for part in parts if part))

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """What is no HTTP request gets the answer of Go's server, and the end."""
        if self._machine.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            status = error.error_status_hint
            text = {413: "Request Entity Too Large", 431: "Request Header Fields Too Large"}
            body = f"{status} {text.get(status, 'Bad Request')}".encode()
            self._send(HttpResponse(status, body, extra=(("connection", "close"),)))
        self._transport.close()
