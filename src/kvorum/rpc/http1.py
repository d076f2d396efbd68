"""HTTP/1.1, on the library h11.

Requests of a connection are answered one after the other. Bounds: a request's head has at most
`HEAD_BYTES_MAX`, what its body may have is for the service to say; a client that takes longer than
`REQUEST_S_MAX` to send a request that is no stream, or sends none for `IDLE_S_MAX`, is
disconnected, and so is one that sends further requests without waiting for answers.

Source: RFC 9112, by h11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import h11

from kvorum.rpc.exchange import HeaderList
from kvorum.rpc.front import Front
from kvorum.rpc.http import HttpRequest, HttpResponse, phrase
from kvorum.rpc.http2.streams import Receiver
from kvorum.rpc.websocket import WebSocket, accept, wants_websocket

HEAD_BYTES_MAX: Final = 64 * 1024
REQUEST_S_MAX: Final = 60.0
IDLE_S_MAX: Final = 300.0
WAITING_BYTES_MAX: Final = 256 * 1024
"""What a client may send while its last request is being answered."""
LINGER_S: Final = 1.0
"""How long a client that is answered before it has sent all may take to see it. To close at once
would let its system throw the answer away."""


class Http1Connection:
    """One HTTP/1.1 connection, fed by the listener's protocol."""

    def __init__(self, front: Front, transport: asyncio.Transport) -> None:
        self._front = front
        self._transport = transport
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._request: HttpRequest | None = None
        """The one that is going to be a WebSocket."""
        self._exchange: Http1Exchange | None = None
        self._receiver: Receiver | None = None
        self._output: list[bytes] = []
        self._websocket: WebSocket | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_idle = True
        self._client_ended = False
        self._closing = False
        """Close when the request is answered."""
        self._lingering = False
        """All is said; what still comes is thrown away."""
        self._waiting_bytes = 0
        self.stuck = False
        """The socket does not take what was sent."""
        self.expect_end(IDLE_S_MAX)

    # For the listener.

    def receive(self, data: bytes) -> None:
        if self._websocket is not None:
            self._websocket.receive(data)
            return
        if self._lingering:
            return
        if self._machine.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._waiting_bytes += len(data)
            if self._waiting_bytes > WAITING_BYTES_MAX:
                self._transport.abort()
                return
        elif self._is_idle:
            self.expect_end(REQUEST_S_MAX)
            self._is_idle = False
        self._machine.receive_data(data)
        self._advance()

    def ended(self) -> bool:
        """The client has sent its last byte. True: it has an answer to get still."""
        self._client_ended = True
        exchange = self._exchange
        whole = self._machine.their_state is h11.DONE
        return whole and exchange is not None and not exchange.is_stream

    def lost(self) -> None:
        self.expect_end(None)
        receiver, self._receiver = self._receiver, None
        if self._exchange is not None:
            self._exchange.detach()
        if receiver is not None:
            receiver.cancelled()
        if self._websocket is not None:
            self._websocket.lost()

    def writable(self) -> None:
        """The socket takes more."""
        self.stuck = False
        exchange = self._websocket or self._exchange
        if exchange is not None and exchange.on_writable is not None:
            exchange.on_writable()

    def close_when_done(self) -> None:
        """Close when the request under way, if there is one, is answered."""
        self._closing = True
        if self._exchange is None:
            self._transport.close()

    # For the exchange.

    def expect_end(self, wait_s: float | None) -> None:
        """Give the client a time for what it does; None: all the time in the world."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if wait_s is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(wait_s, self._transport.abort)

    def send_head(self, status: int, headers: HeaderList) -> None:
        if self._machine.their_state is h11.SEND_BODY and not self._is_streaming():
            headers = (*headers, ("connection", "close"))  # the rest of the request is not read
        self._write(_response(status, headers))

    def send_body(self, data: bytes) -> None:
        self._write(h11.Data(data=data))

    def flush(self) -> None:
        """Send what has collected: a whole answer, if it can be, in one piece."""
        output, self._output = self._output, []
        if output:
            self._transport.write(b"".join(output) if len(output) > 1 else output[0])

    def abort(self) -> None:
        self._transport.abort()

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def answered(self) -> None:
        """The answer is complete."""
        self._write(h11.EndOfMessage())
        self.flush()
        self._exchange = self._receiver = None
        machine = self._machine
        if machine.their_state is h11.SEND_BODY and machine.our_state is h11.DONE:
            self._waiting_bytes = 0
            self.expect_end(LINGER_S)  # the rest of the request may be on its way
        elif machine.their_state is h11.SEND_BODY:
            self._linger()
        elif machine.our_state is h11.DONE and not self._closing:
            # Not from here: this may be inside of `_advance`, or of the app.
            asyncio.get_running_loop().call_soon(self._next_request)
        else:
            self._transport.close()

    # Requests.

    def _next_request(self) -> None:
        if self._transport.is_closing() or self._machine.our_state is not h11.DONE:
            return
        self._waiting_bytes = 0
        self._machine.start_next_cycle()
        # What has come of a next request counts as its beginning.
        self._is_idle = not self._machine.trailing_data[0]
        self.expect_end(IDLE_S_MAX if self._is_idle else REQUEST_S_MAX)
        self._advance()
        if self._client_ended and self._exchange is None:
            self._transport.close()

    def _advance(self) -> None:
        """Take the events that are complete. What has come of a body is passed on in one piece."""
        body: list[bytes] = []
        try:
            while not self._lingering:
                event = self._machine.next_event()
                if isinstance(event, h11.Data):
                    body.append(bytes(event.data))
                    continue
                if body and not isinstance(event, h11.EndOfMessage):
                    self._pass_on(b"".join(body), ended=False)
                    body.clear()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                if isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                    return
                self._take(event, b"".join(body))
                body.clear()
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def _take(self, event: object, body: bytes) -> None:
        if isinstance(event, h11.Request):
            self._open(event)
        elif isinstance(event, h11.EndOfMessage):
            self.expect_end(None)
            if self._request is None:
                self._pass_on(body, ended=True)
            else:
                self._open_websocket(self._request)

    def _pass_on(self, chunk: bytes, *, ended: bool) -> None:
        if self._receiver is not None:
            self._receiver.data(chunk, ended)
        elif self._exchange is None and ended:
            self._next_request()  # answered before it had ended
        elif self._exchange is None:
            self._waiting_bytes += len(chunk)
            if self._waiting_bytes > WAITING_BYTES_MAX:
                self._linger()

    def _open(self, event: h11.Request) -> None:
        request = HttpRequest(
            event.method.decode("latin-1"),
            event.target.decode("latin-1"),
            tuple((bytes(name), bytes(value)) for name, value in event.headers),
        )
        if wants_websocket(request) and self._front.takes_websocket(request):
            self._request = request  # opened when it has ended
            return
        exchange = self._exchange = Http1Exchange(self, is_head=request.method == "HEAD")
        receiver = self._front.open(request, exchange)
        if self._exchange is exchange:
            self._receiver = receiver
            if self._machine.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self.flush()

    def _open_websocket(self, request: HttpRequest) -> None:
        self._request = None
        headers = accept(request)
        if headers is None:
            self._exchange = Http1Exchange(self, is_head=False)
            self._exchange.respond(HttpResponse(400, b"Bad Request\n"))
            return
        pairs = [(name.encode(), value.encode()) for name, value in headers]
        self._write(h11.InformationalResponse(status_code=101, headers=pairs))
        self.flush()
        rest = self._machine.trailing_data[0]
        websocket = self._websocket = WebSocket(self._transport, self)
        websocket.open(self._front, request)
        if rest:
            websocket.receive(rest)

    def _is_streaming(self) -> bool:
        return self._exchange is not None and self._exchange.is_stream

    # The end.

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """What is no HTTP request gets the answer of Go's server, and the end."""
        receiver, self._receiver = self._receiver, None
        if self._exchange is not None:
            self._exchange.detach()
            self._exchange = None
        if receiver is not None:
            receiver.cancelled()
        if self._machine.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            status = error.error_status_hint
            text = {413: "Request Entity Too Large", 431: "Request Header Fields Too Large"}
            body = f"{status} {text.get(status, 'Bad Request')}".encode()
            response = HttpResponse(status, body, extra=(("connection", "close"),))
            self.send_head(status, tuple(response.headers))
            self.send_body(body)
            self._write(h11.EndOfMessage())
            self.flush()
        self._transport.close()

    def _linger(self) -> None:
        """Close after the client has had time to read; meanwhile it may say what it likes."""
        self._lingering = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.expect_end(LINGER_S)

    def _write(self, event: h11.Event) -> None:
        data = self._machine.send(event)
        if data:
            self._output.append(data)


@lru_cache(maxsize=256)
def _response(status: int, headers: HeaderList) -> h11.Response:
    """Remembered: h11 takes 40 µs to check the headers, which mostly are the same again."""
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return h11.Response(status_code=status, headers=pairs, reason=phrase(status).encode())


class Http1Exchange:
    """See `exchange.Exchange`."""

    __slots__ = ("_connection", "_is_head", "common", "is_stream", "on_writable")

    def __init__(self, connection: Http1Connection, *, is_head: bool) -> None:
        self._connection: Http1Connection | None = connection
        self._is_head = is_head
        self.common: HeaderList = ()
        self.on_writable: Callable[[], None] | None = None
        self.is_stream = False
        """See `take_time`."""

    def respond(self, response: HttpResponse) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.send_head(response.status, (*self.common, *response.headers))
        if not self._is_head:
            connection.send_body(response.body)
        self.finish()

    def start(self, status: int, headers: HeaderList) -> None:
        if self._connection is not None:
            self._connection.send_head(status, (*self.common, *headers))

    def send(self, data: bytes) -> bool:
        connection = self._connection
        if connection is None:
            return True
        if not self._is_head:
            connection.send_body(data)
            connection.flush()
        return not connection.stuck

    def has_room(self, unsent_bytes_max: int) -> bool:
        # The listener tells when the buffer is nearly empty, however little was in it before.
        connection = self._connection
        return (
            connection is None
            or not connection.stuck
            or (connection.unsent_bytes <= unsent_bytes_max)
        )

    def finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.answered()

    def abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def hold(self, size: int) -> bool:
        """A connection has one request, whose size its service bounds."""
        return True

    def take_time(self) -> None:
        self.is_stream = True
        if self._connection is not None:
            self._connection.expect_end(None)

    def detach(self) -> None:
        """The connection is gone."""
        self._connection = None
