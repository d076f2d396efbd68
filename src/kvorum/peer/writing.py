"""A stream that another member has opened to us: what we have to tell it goes there.

What one turn of the event loop has for the stream leaves in one write: a leader that answers reads
has several small messages for each member in each turn, and a system call costs more than any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from kvorum.peer.options import PeerOptions
from kvorum.proto.raftpb import Message
from kvorum.rpc.exchange import Exchange

COLLECTED_BYTES_MAX: Final = 64 * 1024
"""So much is sent without waiting for the turn's end."""


class Encoder(Protocol):
    """`MessageEncoder` or `MsgAppEncoder`."""

    def encode(self, message: Message) -> bytes: ...
    def heartbeat(self) -> bytes: ...


class StreamWriter:
    """Sends messages down one answer that does not end.

    A stream whose other end takes nothing for the write timeout is closed; that member then opens
    another one, or is dead.

    Args:
        exchange: the request that is answered.
        encoder: for the stream's kind and the other side's version.
        closed: called once, when the stream is of no more use.
    """

    def __init__(
        self,
        exchange: Exchange,
        encoder: Encoder,
        options: PeerOptions,
        closed: Callable[[StreamWriter], None],
    ) -> None:
        self._exchange = exchange
        self._encoder = encoder
        self._options = options
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._sent_at = 0.0
        self._full_since: float | None = None
        self._output: list[bytes] = []
        """To be sent at the end of this turn."""
        self._output_bytes = 0
        self.sent_bytes = 0
        exchange.take_time()
        exchange.on_writable = self._writable
        exchange.start(200, ())
        # At once: the other side knows then that the stream is up.
        self._send(encoder.heartbeat())
        self._timer = self._loop.call_later(options.link_heartbeat_s, self._beat)

    def send(self, message: Message) -> bool:
        """Send a message. False: it was dropped, for too much waits."""
        if not self._is_open:
            return False
        if not self._exchange.has_room(self._options.limits.stream_bytes_max):
            return False
        data = self._encoder.encode(message)
        if not self._output:
            self._loop.call_soon(self._flush)
        self._output.append(data)
        self._output_bytes += len(data)
        if self._output_bytes >= COLLECTED_BYTES_MAX:
            self._flush()
        return True

    def close(self) -> None:
        """End the stream."""
        if self._is_open:
            self._flush()
            self._exchange.finish()
            self.lost()

    def lost(self) -> None:
        """The stream broke. Called by whoever has the request; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            self._output.clear()
            self._timer.cancel()
            self._closed(self)

    def _flush(self) -> None:
        if self._output:
            data = b"".join(self._output)
            self._output.clear()
            self._output_bytes = 0
            self._send(data)

    def _send(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        self._sent_at = self._loop.time()
        if not self._exchange.send(data) and self._full_since is None:
            self._full_since = self._sent_at

    def _writable(self) -> None:
        self._full_since = None

    def _beat(self) -> None:
        now = self._loop.time()
        if self._full_since is not None and now - self._full_since > self._options.write_timeout_s:
            self._exchange.abort()
            self.lost()
            return
        if now - self._sent_at >= self._options.link_heartbeat_s:
            self._send(self._encoder.heartbeat())
        self._timer = self._loop.call_later(self._options.link_heartbeat_s, self._beat)
