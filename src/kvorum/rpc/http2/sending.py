"""The sending side of a connection: output, flow control towards the client.

A client may open its windows by gigabytes and not read from its socket. So of the window that it
gives a connection only `Limits.output_bytes` are used (`window`) until the owner has taken the
output and says by `refill` that the socket takes more; the rest is kept in `_withheld`.

Invariants
    I1  a stream in `_blocked` has `pending` bytes or trailers, and nothing of it is in `output`
        behind them
    I2  `window` never goes below 0; a stream's window only by a settings change of the client
    I3  `unsent_bytes`, `held_bytes` are the sums of `pending.size`, `held` of the streams

Source: RFC 9113; the numbers in comments are its sections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kvorum.rpc.http2.errors import ErrorCode
from kvorum.rpc.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    FRAME_HEAD,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    U32,
    WINDOW_DEFAULT,
    WINDOW_UPDATE,
    Limits,
    frame,
)
from kvorum.rpc.http2.streams import Stream

LATE_STREAMS_MAX: Final = 1024
"""Streams that we ended before the client did, remembered for the trailers it may still send."""


class Sender:
    """What a connection sends. `connection.Connection` is this and the receiving side."""

    def __init__(self, wake: Callable[[], None], limits: Limits) -> None:
        self.limits = limits
        self.output: list[bytes | memoryview] = []
        self.remote = ""
        """The client's address, for the log."""
        self.closing = False
        """Everything has been said: close when the output is sent."""
        self.streams: dict[int, Stream] = {}
        self.window = 0
        """Data that may be sent on the connection now."""
        self.unsent_bytes = 0
        self.held_bytes = 0
        self.sent_since_ping = False
        """Headers or data went out; see `PingPolicy.note_sent`."""
        self.response_state = 0
        """What the client's header table knows of our responses; see `rpc.responses`."""
        self.table_allowed = True
        """The client's header table has its default size, so that we may count on it."""
        self._wake = wake
        self._withheld = WINDOW_DEFAULT
        self._receiving = False
        self._newest_id = 0
        self._going_away = False
        self._blocked: dict[int, Stream] = {}
        self._late: dict[int, None] = {}
        self.refill()

    def emit(self, data: bytes | memoryview) -> None:
        self.output.append(data)
        if not self._receiving and len(self.output) == 1:
            self._wake()

    def take_output(self) -> list[bytes | memoryview]:
        """What is to be sent, in pieces. Call `refill` when the socket takes more."""
        output, self.output = self.output, []
        return output

    def refill(self) -> None:
        """The socket takes more: use what the client's window allows."""
        window = self.window
        room = min(self._withheld, self.limits.output_bytes - window)
        if room > 0:
            self.window = window + room
            self._withheld -= room
            if window == 0 and self._blocked:
                # Above 0 whatever is blocked is so by the window of its stream.
                self._send_blocked()

    def may_send(self, stream: Stream, size: int) -> bool:
        """Whether the windows allow `size` bytes; if so they are taken off."""
        if size > self.window or size > stream.window:
            return False
        self.window -= size
        stream.window -= size
        self.sent_since_ping = True
        return True

    def may_respond(self, stream: Stream, size: int) -> bool:
        """Whether `respond` may be used for a response of `size` bytes."""
        return (
            size <= FRAME_BYTES_MAX
            and size <= self.window
            and size <= stream.window
            and self.table_allowed
        )

    def respond(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> None:
        """Send a whole response: header block, data, last header block in one piece.

        The hot path, for what `may_respond` allows.
        """
        size = len(data)
        stream_id = stream.id
        self.window -= size
        self.sent_since_ping = True
        pack = FRAME_HEAD.pack
        self.emit(
            b"%b%b%b%b%b%b"
            % (
                pack(0, len(head), HEADERS, END_HEADERS, stream_id),
                head,
                pack(size >> 8, size & 0xFF, DATA, 0, stream_id),
                data,
                pack(0, len(trailers), HEADERS, END_HEADERS | END_STREAM, stream_id),
                trailers,
            )
        )
        if stream.half_closed and not stream.held:
            del self.streams[stream_id]  # all that `ended` would find to do
        else:
            self.ended(stream)

    def blocked(self, stream: Stream, size: int) -> None:
        """`stream` has `size` bytes that wait: send what the windows allow, remember the rest."""
        self.unsent_bytes += size
        self._blocked[stream.id] = stream
        self._send_pending(stream)

    def ended(self, stream: Stream) -> None:
        """Our side of the stream is over."""
        if self._forget(stream) and not stream.half_closed:
            # 8.1: all has been said though the client has not ended its side.
            self._reset(stream.id, ErrorCode.NO_ERROR)

    def reset_stream(self, stream: Stream, code: ErrorCode) -> None:
        if self._forget(stream):
            self._reset(stream.id, code)

    def go_away(self, code: ErrorCode = ErrorCode.NO_ERROR, reason: str = "") -> None:
        """Accept no further streams; those that are open go on."""
        self._going_away = True
        payload = U32.pack(self._newest_id) + U32.pack(code) + reason.encode()
        self.emit(frame(GOAWAY, 0, 0, payload))

    def ping(self) -> None:
        """Ask whether the client is there."""
        self.emit(frame(PING, 0, 0, b"kvorum\0\0"))

    def renew_window(self, stream: Stream) -> None:
        """Give the client back what it has used of a stream's window, once it is worth a frame."""
        if stream.unacknowledged > self.limits.stream_window // 2:
            self.emit(frame(WINDOW_UPDATE, 0, stream.id, U32.pack(stream.unacknowledged)))
            stream.unacknowledged = 0

    def _forget(self, stream: Stream) -> bool:
        """Drop all that is kept for a stream. False: it was over already."""
        if self.streams.pop(stream.id, None) is None:
            return False
        if stream.held:
            self.held_bytes -= stream.held
            stream.held = 0
        if stream.pending is not None:
            self.unsent_bytes -= stream.pending.size
            stream.pending = None
            self._blocked.pop(stream.id, None)
        return True

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        self._late[stream_id] = None
        if len(self._late) > LATE_STREAMS_MAX:
            del self._late[next(iter(self._late))]
        self.emit(frame(RST_STREAM, 0, stream_id, U32.pack(code)))

    def _send_pending(self, stream: Stream) -> None:
        pending = stream.pending
        assert pending is not None
        emit, stream_id = self.emit, stream.id
        while pending.size:
            size = min(pending.size, self.window, stream.window, FRAME_BYTES_MAX)
            if size <= 0:
                break
            # One frame may be of several pieces, and a piece of several frames: no copies.
            self.window -= size
            self.unsent_bytes -= size
            stream.window -= size
            self.sent_since_ping = True
            emit(FRAME_HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream_id))
            for piece in pending.take(size):
                emit(piece)
        if pending.size:
            room = pending.size <= self.limits.stream_buffer_bytes // 2
        else:
            room = True
            stream.pending = None
            self._blocked.pop(stream.id, None)
            if stream.trailers is not None:
                self._send_end(stream, stream.trailers)
                return
        if stream.refused and room:
            stream.refused = False
            self.renew_window(stream)
            if stream.on_writable is not None:
                stream.on_writable()

    def _send_end(self, stream: Stream, trailers: bytes) -> None:
        if trailers:
            stream.send_headers(trailers, end=True)
        else:
            self.emit(frame(DATA, END_STREAM, stream.id, b""))
            self.ended(stream)

    def _send_blocked(self) -> None:
        for stream in tuple(self._blocked.values()):
            if self.window <= 0:
                break
            if stream.pending is not None:
                self._send_pending(stream)
            if self._blocked.pop(stream.id, None) is not None:
                self._blocked[stream.id] = stream  # the others come first next time
