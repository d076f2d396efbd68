"""A WebSocket in place of a request's body and answer, on the library wsproto.

Each message of the client is a piece of the body, with a line break behind it; each line of the
answer is a text message. The request behind it is a POST. Closing the socket cancels it.

Source: RFC 6455, by wsproto; etcd's use of grpc-websocket-proxy (which headers pass on, what the
method is, that status and headers of the answer are lost).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from kvorum.rpc.exchange import FixedReceiver, HeaderList
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.rpc.http2.streams import Receiver

if TYPE_CHECKING:
    from kvorum.rpc.front import Front
    from kvorum.rpc.http1 import Http1Connection

CLOSE_S_MAX: Final = 5.0
"""How long a client may take to answer that the socket is closed."""

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
_BEARER: Final = "Bearer"
_TOKEN_COOKIE: Final = "token"
_PASSED_ON: Final = frozenset({b"host", b"origin", b"referer"})


def wants_websocket(request: HttpRequest) -> bool:
    """Whether the request asks to become a WebSocket."""
    return (
        request.header(b"upgrade").lower() == "websocket"
        and "upgrade" in request.header(b"connection").lower()
    )


def accept(request: HttpRequest) -> HeaderList | None:
    """Headers of the answer that opens a WebSocket; None: the request is malformed."""
    key = request.header(b"sec-websocket-key")
    try:
        well = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        well = False
    if not well or request.method != "GET" or request.header(b"sec-websocket-version") != "13":
        return None
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    headers = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", base64.b64encode(digest).decode()),
    ]
    if request.header(b"sec-websocket-protocol").startswith(_BEARER):
        headers.append(("sec-websocket-protocol", _BEARER))
    return tuple(headers)


def inner_request(request: HttpRequest) -> HttpRequest:
    """The request that the messages of a WebSocket are the body of."""
    headers = [pair for pair in request.headers if pair[0] in _PASSED_ON]
    authorization = _authorization(request)
    if authorization:
        headers.append((b"authorization", authorization.encode("latin-1")))
    return HttpRequest("POST", request.target, tuple(headers))


def _authorization(request: HttpRequest) -> str:
    try:
        cookie = SimpleCookie(request.header(b"cookie")).get(_TOKEN_COOKIE)
    except CookieError:
        cookie = None
    if cookie is not None:
        return f"{_BEARER} {cookie.value}"
    _, bearer, token = request.header(b"sec-websocket-protocol").partition(f"{_BEARER},")
    return f"{_BEARER} {token.strip(' ')}" if bearer else ""


class WebSocket:
    """One WebSocket, and the exchange (`exchange.Exchange`) of the request behind it."""

    def __init__(self, transport: asyncio.Transport, connection: Http1Connection) -> None:
        self._transport = transport
        self._connection = connection
        self._machine = Connection(ConnectionType.SERVER)
        self._receiver: Receiver | None = None
        self._over = False
        """Nothing more is sent."""
        self._line = b""
        self._deadline: asyncio.TimerHandle | None = None
        self.common: HeaderList = ()
        self.on_writable: Callable[[], None] | None = None

    # For the connection.

    def open(self, front: Front, request: HttpRequest) -> None:
        """Begin the request behind it."""
        receiver = front.open(inner_request(request), self)
        if isinstance(receiver, FixedReceiver):
            receiver.data(b"", True)  # it waits for an end, and a socket's is too late
        if not self._over:
            self._receiver = receiver

    def receive(self, data: bytes) -> None:
        try:
            self._machine.receive_data(data)
            for event in self._machine.events():
                self._take(event)
        except RemoteProtocolError as error:
            self._close(error.event_hint or CloseConnection(CloseReason.PROTOCOL_ERROR))
            self._transport.close()

    def lost(self) -> None:
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._cancel()

    def _take(self, event: object) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            # A part of a message is passed on as it comes: nothing is collected here.
            data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
            if self._receiver is not None:
                self._receiver.data(data + b"\n" if event.message_finished else data, False)
        elif isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            if not self._over:
                self._send(event.response())
                self._over = True
            self._transport.close()
            self._cancel()

    def _cancel(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.cancelled()

    # For the service.

    def respond(self, response: HttpResponse) -> None:
        self.send(response.body)
        self.finish()

    def start(self, status: int, headers: HeaderList) -> None:
        """Status and headers have no place in a WebSocket."""

    def send(self, data: bytes) -> bool:
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()
        for line in lines:
            if line:
                self._send(TextMessage(line.decode()))
        return not self._connection.stuck

    def has_room(self, unsent_bytes_max: int) -> bool:
        return not self._connection.stuck or self._connection.unsent_bytes <= unsent_bytes_max

    def finish(self) -> None:
        if self._line and not self._over:
            self._send(TextMessage(self._line.decode()))
        self._close(CloseConnection(CloseReason.NORMAL_CLOSURE))

    def abort(self) -> None:
        self._transport.abort()

    def hold(self, size: int) -> bool:
        """A connection has one request, whose size its service bounds."""
        return True

    def take_time(self) -> None:
        """It may take for ever from the beginning."""

    def _close(self, event: Event) -> None:
        self._send(event)
        self._over = True
        self._cancel_later()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(CLOSE_S_MAX, self._transport.abort)

    def _cancel_later(self) -> None:
        """Forget the request: its service has ended it, or is told so."""
        asyncio.get_running_loop().call_soon(self._cancel)

    def _send(self, event: Event) -> None:
        if self._over:
            return
        try:
            self._transport.write(self._machine.send(event))
        except LocalProtocolError:
            self._over = True  # closed by the client meanwhile
