"""Listening sockets and the connections on them.

gRPC and plain HTTP share a port, as etcd's do: the first bytes of a connection tell HTTP/2 (its
preface) from HTTP/1.1; on HTTP/2 the content type tells gRPC from plain requests.

Back-pressure: what is answered collects in one buffer a connection and leaves in one write at the
end of the event loop's turn. While the socket does not take it, the connection is not read from
and its responses wait in their streams (`http2.sending`), so a client that does not read cannot
make the member's memory grow.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, cast

from kvorum.errors import ConfigError, StoppedError
from kvorum.rpc.access import Access
from kvorum.rpc.front import Front, PathService
from kvorum.rpc.grpc import GrpcApp, refused_plain
from kvorum.rpc.http import HttpApp
from kvorum.rpc.http1 import Http1Connection
from kvorum.rpc.http2.connection import Connection
from kvorum.rpc.http2.errors import ErrorCode
from kvorum.rpc.http2.frames import PREFACE, Limits
from kvorum.rpc.http2.hpack import Headers
from kvorum.rpc.http2.pings import KeepAlive, PingPolicy
from kvorum.rpc.http2.streams import Receiver, Stream
from kvorum.rpc.plain import PlainRequest
from kvorum.server.clock import monotonic_s
from kvorum.server.log import Logger

BACKLOG: Final = 4096
WRITE_BUFFER_BYTES_MAX: Final = 1024 * 1024
"""Bytes that a socket has not taken; above, the connection is not read from."""
PREFACE_S_MAX: Final = 120.0
"""A connection that says nothing at first is closed. Source: grpc-go's connection timeout."""
DRAIN_S_MAX: Final = 3.0
"""How long requests under way may go on when the member stops."""
JOINED_PIECES_MAX: Final = 64
"""Pieces that are put together before they are written; more are small change in a long answer,
and copying that costs more than handing the system a list."""
TCP_KEEP_ALIVE: Final = (
    ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 30),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), 30),
)
"""Of a client that only listens, by HTTP/1.1 or WebSocket, nobody else would see that its machine
is gone. Source: etcd's listeners ask every 30 s."""
CLOSE_S_MAX: Final = 5.0
"""How long a client that broke the protocol may take to read why its connection ends."""


def bind(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A bound TCP socket.

    Args:
        host: an address.
        port: 0: any that is free.
        reuse_port: other processes may listen on the port as well.

    Raises:
        ConfigError: the address cannot be had; worded as Go does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"listen tcp {shown}: bind: {reason}") from error
    return listener


class Listener:
    """Serves gRPC and plain HTTP on sockets that are bound already.

    Args:
        sockets: bound and listening.
        http: answers plain requests; None: there are none on this port, not even HTTP/1.1.
        grpc: answers gRPC; None: there is none on this port.
        gateway: answers plain requests before `http` where it covers them.
        access: who may send plain requests; None: everybody.
        limits, keep_alive: for each connection.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        http: HttpApp | None,
        grpc: GrpcApp | None,
        *,
        gateway: PathService | None = None,
        access: Access | None = None,
        limits: Limits | None = None,
        keep_alive: KeepAlive | None = None,
        log: Logger,
    ) -> None:
        self.front = http and Front(http, gateway=gateway, access=access, log=log)
        self.grpc = grpc
        self.limits = limits or Limits()
        self.keep_alive = keep_alive or KeepAlive()
        self.log = log
        self.connections: set[ClientConnection] = set()
        self._sockets = list(sockets)
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Return when connections are accepted."""
        loop = asyncio.get_running_loop()
        for listener in self._sockets:
            server = await loop.create_server(
                lambda: ClientConnection(self), sock=listener, backlog=BACKLOG
            )
            self._servers.append(server)

    async def stop(self) -> None:
        """Stop accepting; end streams; let unary requests end for `DRAIN_S_MAX` at most."""
        for server in self._servers:
            server.close()
        for listener in self._sockets:
            listener.close()
        for connection in tuple(self.connections):
            connection.go_away()
        if self.grpc is not None:
            self.grpc.finish_all(StoppedError())
        for connection in tuple(self.connections):
            connection.close_when_done()
        if self.connections:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._drained,), timeout=DRAIN_S_MAX)
        for connection in tuple(self.connections):
            connection.abort()

    _drained: asyncio.Future[None] | None = None

    def gone(self, connection: ClientConnection) -> None:
        self.connections.discard(connection)
        if not self.connections and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)


class ClientConnection(asyncio.Protocol):
    """One accepted connection: finds out what it speaks, moves bytes, keeps it alive."""

    __slots__ = (
        "_closing",
        "_flushing",
        "_http1",
        "_http2",
        "_keep_alive",
        "_listener",
        "_loop",
        "_over",
        "_pings",
        "_received_s",
        "_start",
        "_start_timer",
        "_stuck",
        "_transport",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._http1: Http1Connection | None = None
        self._http2: Connection | None = None
        self._pings = PingPolicy(listener.keep_alive, monotonic_s)
        self._start = b""
        self._flushing = False
        self._closing = False
        """Close when all requests are answered."""
        self._over = False
        """Nothing can be sent any more."""
        self._stuck = False
        """The socket does not take what was sent."""
        self._received_s = 0.0
        self._keep_alive: asyncio.TimerHandle | None = None
        self._start_timer: asyncio.TimerHandle | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an instance with uvloop, whose transports only have its methods.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option, value in TCP_KEEP_ALIVE:
                sock.setsockopt(*option, value)
        self._listener.connections.add(self)
        self._start_timer = self._loop.call_later(PREFACE_S_MAX, transport.abort)

    def data_received(self, data: bytes) -> None:
        http2 = self._http2
        if http2 is None:
            self._first_data(data)
            return
        self._received_s = self._loop.time()
        http2.receive(data)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        for timer in (self._start_timer, self._keep_alive):
            if timer is not None:
                timer.cancel()
        if self._http1 is not None:
            self._http1.lost()
        if self._http2 is not None:
            self._http2.lost()
        self._listener.gone(self)

    def eof_received(self) -> bool:
        # True keeps the transport open: a plain request may be on its way to an answer.
        return self._http1 is not None and self._http1.ended()

    def pause_writing(self) -> None:
        self._stuck = True
        if self._http1 is not None:
            self._http1.stuck = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if self._http2 is not None:
                self._http2.refill()
            elif self._http1 is not None:
                self._http1.writable()

    # The first bytes.

    def _first_data(self, data: bytes) -> None:
        if self._http1 is not None:
            self._http1.receive(data)
            return
        self._start += data
        start = self._start
        if PREFACE.startswith(start[: len(PREFACE)]):
            if len(start) < len(PREFACE):
                return
            self._begin_http2()
        elif self._listener.front is not None:
            self._http1 = Http1Connection(self._listener.front, self._transport)
        else:
            self._transport.close()
            return
        assert self._start_timer is not None
        self._start_timer.cancel()
        self._start = b""
        self.data_received(start)

    def _begin_http2(self) -> None:
        self._http2 = Connection(self, self._wake, self._listener.limits, self._pings)
        self._http2.remote = _address(self._transport)
        interval_s = self._listener.keep_alive.interval_s
        if interval_s:
            self._keep_alive = self._loop.call_later(interval_s, self._ping_if_quiet)

    # Requests (http2.connection.RequestHandler).

    def open(self, stream: Stream, headers: Headers) -> Receiver:
        path = b""
        is_grpc = False
        for name, value in headers:
            if name == b":path":
                path = value
            elif name == b"content-type":
                is_grpc = value.startswith(b"application/grpc")
                if path:
                    break  # names with a colon come before all others (RFC 9113, 8.3)
        if is_grpc and self._listener.grpc is not None:
            return self._listener.grpc.open(path, stream, headers)
        if self._listener.front is None:
            return refused_plain(stream, headers)
        return PlainRequest(self._listener.front, stream, headers)

    # Sending.

    def _wake(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._over:
            return
        http2 = self._http2
        assert http2 is not None
        if http2.output:
            output = http2.take_output()
            if len(output) <= JOINED_PIECES_MAX:
                self._transport.write(output[0] if len(output) == 1 else b"".join(output))
            else:
                self._transport.writelines(output)
        if not self._stuck:
            http2.refill()
        if http2.closing or (self._closing and not http2.streams and not http2.output):
            self._close()

    # Keep-alive: a client that has been silent for an interval is asked, and given up in time.

    def _ping_if_quiet(self) -> None:
        keep_alive, http2 = self._listener.keep_alive, self._http2
        assert http2 is not None
        quiet_s = self._loop.time() - self._received_s
        if quiet_s < keep_alive.interval_s:
            wait_s = keep_alive.interval_s - quiet_s
            self._keep_alive = self._loop.call_later(wait_s, self._ping_if_quiet)
            return
        http2.ping()
        asked_s = self._loop.time()

        def judge() -> None:
            if self._received_s < asked_s:
                self._transport.abort()
            else:
                self._ping_if_quiet()

        self._keep_alive = self._loop.call_later(keep_alive.timeout_s, judge)

    # The end.

    def go_away(self) -> None:
        """Tell the client to take further requests elsewhere."""
        if self._http2 is not None:
            self._http2.go_away(ErrorCode.NO_ERROR, "graceful_stop")

    def close_when_done(self) -> None:
        self._closing = True
        if self._http2 is not None:
            self._flush()
        elif self._http1 is not None:
            self._http1.close_when_done()
        else:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _close(self) -> None:
        """Close when the output has gone; a client that does not take it is not waited for."""
        self._over = True
        self._transport.close()
        if self._keep_alive is not None:
            self._keep_alive.cancel()
        self._keep_alive = self._loop.call_later(CLOSE_S_MAX, self._transport.abort)


def _address(transport: asyncio.Transport) -> str:
    """The client's `host:port`."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return ""
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


__all__ = ["Listener", "bind"]
