"""The listener of the client port. The only module that knows the HTTP server, h2corn.

h2corn speaks HTTP/1.1 and HTTP/2 on one port and runs its network side in Rust threads; any ASGI
server that sends trailers could take its place here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

import h2corn
import h2corn._lib

from kvorum.errors import ConfigError
from kvorum.rpc.grpc import AsgiApp

BACKLOG: Final = 4096
CONNECTION_WINDOW_BYTES: Final = 16 * 1024 * 1024
STREAM_WINDOW_BYTES: Final = 4 * 1024 * 1024
HEADER_LIST_BYTES_MAX: Final = 64 * 1024
STREAMS_PER_CONNECTION_MAX: Final = 1_000_000
"""h2corn wants a bound; etcd's default is 2^32-1, which no connection reaches."""
SHUTDOWN_S: Final = 5.0

# h2corn greets on stderr with three lines of its own and has no switch for it. Programs read a
# member's stderr as JSON lines.
h2corn._lib.emit_banner = lambda *_: None  # type: ignore[assignment]


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        ConfigError: the address cannot be had; worded as Go does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
    """Serves the client port on sockets that are bound already."""

    def __init__(
        self, app: AsgiApp, sockets: Sequence[socket.socket], *, max_concurrent_streams: int
    ) -> None:
        self._sockets = list(sockets)
        self._server = h2corn.Server(
            app,  # type: ignore[arg-type]
            h2corn.Config(
                bind=tuple(f"fd://{listener.fileno()}" for listener in self._sockets),
                lifespan="off",
                grpc=True,
                access_log=False,
                date_header=False,
                backlog=BACKLOG,
                max_concurrent_streams=min(max_concurrent_streams, STREAMS_PER_CONNECTION_MAX),
                h2_max_header_list_size=HEADER_LIST_BYTES_MAX,
                h2_initial_stream_window_size=STREAM_WINDOW_BYTES,
                h2_initial_connection_window_size=CONNECTION_WINDOW_BYTES,
                # A client that reads slowly, or not at all, keeps its stream: the watch buffers
                # are bounded by ourselves. Idle connections are kept, as etcd keeps them.
                h2_timeout_response_stall=0,
                h2_timeout_write=0,
                timeout_keep_alive=0,
                timeout_graceful_shutdown=SHUTDOWN_S,
            ),
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve(), name="client listener")
        started = asyncio.ensure_future(self._server.wait_started())
        done, _ = await asyncio.wait((started, self._serving), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Stop accepting, let requests under way end for `SHUTDOWN_S` at most."""
        if self._serving is not None:
            self._server.shutdown()
            await asyncio.wait((self._serving,))
        for listener in self._sockets:
            listener.close()
