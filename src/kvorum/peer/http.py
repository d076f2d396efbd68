"""HTTP/1.1 to other members: one request at a time on a connection, bodies of any length.

On the library h11. Other than a general client it knows no redirects, cookies or proxies: a member
is reached at the URL that it has told, or it is not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11

from kvorum.peer.chunks import ChunkDecoder
from kvorum.server.peer_ports import PeerError

HEAD_BYTES_MAX: Final = 64 * 1024
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
READ_BYTES: Final = 256 * 1024
KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""A machine that is gone while an answer is waited for is noticed in 40 s."""

HeaderList = Sequence[tuple[str, str]]


class PeerHttpError(PeerError):
    """The other member could not be reached, or what it answered is no HTTP. The text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as a message for people."""
        return self.body.decode(errors="replace").strip()


class PeerConnection:
    """A connection to the member at `url`, made by the first request and again when it is lost.

    Args:
        url: scheme, host and port; a path before ours is kept.
        dial_timeout_s: how long connecting may take.
        io_timeout_s: how long nothing may move, in either direction.
        answer_timeout_s: how long the other side may think before it answers; the same if None.
        context: for `https`.
        local_address: to connect from; empty: the system's choice.
    """

    def __init__(
        self,
        url: str,
        *,
        dial_timeout_s: float,
        io_timeout_s: float,
        answer_timeout_s: float | None = None,
        context: ssl.SSLContext | None = None,
        local_address: str = "",
    ) -> None:
        self.url = url
        self._parts, self._problem = _split(url)
        self._dial_timeout_s = dial_timeout_s
        self._io_timeout_s = io_timeout_s
        self._answer_timeout_s = io_timeout_s if answer_timeout_s is None else answer_timeout_s
        self._context = context
        self._local = (local_address, 0) if local_address else None
        self._machine = h11.Connection(h11.CLIENT)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._is_chunked = False
        self._received_s = 0.0
        self._watch: asyncio.TimerHandle
        self._was_silent = False

    async def request(
        self,
        method: str,
        path: str,
        headers: HeaderList = (),
        body: bytes | AsyncIterator[bytes] = b"",
    ) -> Answer:
        """Ask, and read the whole answer.

        Raises:
            PeerHttpError
        """
        try:
            await self._send(method, path, headers, body)
            head = await self._head()
            parts, size = [], 0
            async for chunk in self._chunks():
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    raise PeerHttpError(f"{self.url}: the answer is too long")
                parts.append(chunk)
        except BaseException as error:
            self.close()
            self._tell(error)
            raise
        if self._machine.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            self._machine.start_next_cycle()
        else:
            self.close()
        return Answer(head.status, head.headers, b"".join(parts))

    async def open(self, path: str, headers: HeaderList = ()) -> Answer:
        """Ask for something endless: the answer without its body, which `chunks` then gives.

        Raises:
            PeerHttpError
        """
        try:
            await self._send("GET", path, headers, b"")
            head = await self._head()
            self._is_chunked = head.headers.get("transfer-encoding", "").lower() == "chunked"
            self._received_s = asyncio.get_running_loop().time()
            return head
        except BaseException as error:
            self.close()
            self._tell(error)
            raise

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body that `open` began, as it comes; ends when the other side ends it.

        Raises:
            PeerHttpError: the connection broke, or nothing has come for `io_timeout_s`.
        """
        watch = asyncio.get_running_loop().call_later(self._io_timeout_s, self._end_if_silent)
        self._watch = watch
        try:
            async for data in self._body():
                yield data
        except BaseException as error:
            self.close()
            self._tell(TimeoutError() if self._was_silent else error)
            raise
        finally:
            self._watch.cancel()
        self.close()

    async def _body(self) -> AsyncIterator[bytes]:
        if not self._is_chunked:
            async for chunk in self._chunks():
                yield chunk
            return
        decoder, data = ChunkDecoder(), self._machine.trailing_data[0]
        reader, loop = self._reader, asyncio.get_running_loop()
        assert reader is not None
        while True:
            body = decoder.feed(data)
            if body:
                yield body
            if decoder.ended:
                return
            data = await reader.read(READ_BYTES)
            self._received_s = loop.time()
            if not data:
                raise PeerHttpError(f"{self.url}: the answer broke off")

    def _end_if_silent(self) -> None:
        """One timer for a stream and not one for each piece of it: those cost more than it does."""
        loop = asyncio.get_running_loop()
        left_s = self._received_s + self._io_timeout_s - loop.time()
        if left_s > 0:
            self._watch = loop.call_later(left_s, self._end_if_silent)
        elif self._writer is not None:
            self._was_silent = True
            self._writer.transport.abort()

    @property
    def is_usable(self) -> bool:
        """Whether there is a connection, as far as is known, that the next request can use."""
        writer, reader = self._writer, self._reader
        return not (writer is None or writer.is_closing() or reader is None or reader.at_eof())

    def close(self) -> None:
        """Let go of the connection; the next request makes a new one."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _send(
        self, method: str, path: str, headers: HeaderList, body: bytes | AsyncIterator[bytes]
    ) -> None:
        writer = await self._connected()
        whole = isinstance(body, bytes)
        length = ("Content-Length", str(len(body))) if isinstance(body, bytes) else _CHUNKED
        target = f"{self._parts.path.rstrip('/')}{path}"
        fields = [("Host", self._parts.netloc), ("User-Agent", "Go-http-client/1.1"), *headers]
        if not whole or body or method != "GET":
            fields.append(length)
        head = h11.Request(method=method, target=target, headers=fields)
        data = self._machine.send(head) or b""
        if isinstance(body, bytes):
            data += self._machine.send(h11.Data(data=body)) or b"" if body else b""
            writer.write(data + (self._machine.send(h11.EndOfMessage()) or b""))
        else:
            writer.write(data)
            async for chunk in body:
                writer.write(self._machine.send(h11.Data(data=chunk)) or b"")
                async with asyncio.timeout(self._io_timeout_s):
                    await writer.drain()
            writer.write(self._machine.send(h11.EndOfMessage()) or b"")
        async with asyncio.timeout(self._io_timeout_s):
            await writer.drain()

    async def _connected(self) -> asyncio.StreamWriter:
        if self.is_usable:
            assert self._writer is not None
            return self._writer
        self.close()
        if self._problem:
            raise PeerHttpError(f"{self.url}: {self._problem}")
        context = None
        if self._parts.scheme == "https":
            if self._context is None:
                raise PeerHttpError(f"{self.url}: this member has no certificates for https")
            context = self._context
        async with asyncio.timeout(self._dial_timeout_s):
            self._reader, self._writer = await asyncio.open_connection(
                self._parts.hostname,
                self._parts.port,
                ssl=context,
                limit=READ_BYTES,
                local_addr=self._local,
            )
        sock = self._writer.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            for option in KEEP_ALIVE:
                sock.setsockopt(*option)
        self._machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        return self._writer

    async def _head(self) -> Answer:
        event = await self._event(self._answer_timeout_s)
        while isinstance(event, h11.InformationalResponse):
            event = await self._event(self._answer_timeout_s)
        if not isinstance(event, h11.Response):
            raise PeerHttpError(f"{self.url}: no answer")
        headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        return Answer(event.status_code, headers)

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            event = await self._event(self._io_timeout_s)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise PeerHttpError(f"{self.url}: the answer broke off")

    async def _event(self, timeout_s: float) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._machine.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            assert self._reader is not None
            async with asyncio.timeout(timeout_s):
                data = await self._reader.read(READ_BYTES)
            self._machine.receive_data(data)

    def _tell(self, error: BaseException) -> None:
        """Raise any failure of the connection as one kind of error; leave others as they are."""
        if isinstance(error, TimeoutError):
            raise PeerHttpError(f"{self.url}: i/o timeout") from error
        if isinstance(error, OSError | h11.ProtocolError | EOFError | ValueError):
            raise PeerHttpError(f"{self.url}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """As Go words it: operators look for `connection refused`."""
    number = error.errno if isinstance(error, OSError) else None
    # Those of TLS and of names have numbers of their own.
    if number is None or number < 0 or isinstance(error, ssl.SSLError):
        return str(error)
    return os.strerror(number).lower()  # the event loop's own text may be another


def _split(url: str) -> tuple[SplitResult, str]:
    """The parts of a URL, and why it cannot be connected to; empty: it can.

    Members may have URLs that Go's package takes apart and Python's does not.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return SplitResult("", "", "", "", ""), str(error)
    return parts, ""


_CHUNKED: Final = ("Transfer-Encoding", "chunked")
