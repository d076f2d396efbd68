"""One HTTP/2 connection, without I/O.

`receive` takes what came from the socket and calls the handler; what is to be sent collects in
`output` until the owner takes it. The owner is called back (`wake`) when output appears outside of
`receive`, so everything that is answered in one turn of the event loop leaves in one write.

Flow control, towards the client: data beyond its window waits in the stream (`Stream.pending`), at
most `Limits.stream_buffer_bytes`; whoever sends is told (`Stream.send` returns False) and called
when there is room again. From the client: its windows are renewed as data is taken in.

Invariants
    I1  a stream in `_blocked` has `pending` bytes or trailers, and nothing of it is in `output`
        behind them
    I2  `window` never goes below 0 by our own sending (a settings change may make it negative)

Source: RFC 9113; the numbers in comments are its sections.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final, Protocol

from kvorum.rpc.http2 import hpack
from kvorum.rpc.http2.errors import ErrorCode, Http2Error
from kvorum.rpc.http2.hpack import HeaderDecoder, Headers
from kvorum.rpc.http2.pings import PingPolicy

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20

FRAME_HEAD_BYTES: Final = 9
FRAME_BYTES_MAX: Final = 16_384
"""SETTINGS_MAX_FRAME_SIZE of ours, left at its default; and what we send at most in a frame."""
WINDOW_DEFAULT: Final = 65_535
WINDOW_MAX: Final = 2**31 - 1
CONNECTION_WINDOW: Final = 16 * 1024 * 1024
HEADER_BLOCK_BYTES_MAX: Final = 64 * 1024

_HEAD = Struct(">HBBBI")
_U32 = Struct(">I")
_SETTING = Struct(">HI")

SETTING_TABLE_SIZE, SETTING_MAX_STREAMS, SETTING_WINDOW = 1, 3, 4
SETTING_FRAME_SIZE, SETTING_HEADER_LIST = 5, 6


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A whole frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one connection."""

    concurrent_streams: int = 100_000
    """Streams at the same time; a further one is refused, and the client may try it again."""
    stream_window: int = 4 * 1024 * 1024
    """What a client may send on one stream before it is taken in: at least one message."""
    stream_buffer_bytes: int = 4 * 1024 * 1024
    """Data that waits for one stream's client; above it the sender is told to wait."""


class Receiver(Protocol):
    """The request side of one stream."""

    def data(self, chunk: bytes, ended: bool) -> None: ...
    def cancelled(self) -> None:
        """The client reset the stream, or its connection broke. Nothing can be sent any more."""
        ...


class RequestHandler(Protocol):
    """Gets the requests of a connection."""

    def open(self, stream: Stream, headers: Headers) -> Receiver: ...


class Pending:
    """Data that waits for a window: the pieces as they were given, cut without copying."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self.size = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(memoryview(data))
        self.size += len(data)

    def take(self, size: int) -> list[memoryview]:
        """The first `size` bytes, which are there."""
        self.size -= size
        pieces, taken = self._pieces, []
        while size:
            piece = pieces[0]
            if len(piece) <= size:
                size -= len(piece)
                taken.append(pieces.popleft())
            else:
                taken.append(piece[:size])
                pieces[0] = piece[size:]
                size = 0
        return taken


class Stream:
    """One request and its response. Methods of the sending side belong to the handler."""

    __slots__ = (
        "connection",
        "half_closed",
        "id",
        "on_writable",
        "pending",
        "receiver",
        "refused",
        "trailers",
        "unacknowledged",
        "window",
    )

    def __init__(self, connection: Connection, stream_id: int, window: int) -> None:
        self.connection = connection
        self.id = stream_id
        self.window = window
        self.receiver: Receiver | None = None
        self.half_closed = False
        self.unacknowledged = 0
        self.pending: Pending | None = None
        self.trailers: bytes | None = None
        self.refused = False
        self.on_writable: Callable[[], None] | None = None

    def send_headers(self, block: bytes, *, end: bool = False) -> None:
        """Send a header block, with `end` as the last thing of the stream."""
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.connection.sent_since_ping = True
        self.connection.emit(frame(HEADERS, flags, self.id, block))
        if end:
            self.connection.ended(self)

    def send(self, data: bytes) -> bool:
        """Send data, or keep it until the client's window opens.

        Returns:
            False: that is enough for now. `on_writable` is called when half of it has gone.
        """
        connection = self.connection
        size = len(data)
        pending = self.pending
        if pending is None:
            if size <= FRAME_BYTES_MAX and connection.may_send(self, size):
                connection.emit(_HEAD.pack(size >> 8, size & 0xFF, DATA, 0, self.id) + data)
                return True
            pending = self.pending = Pending()
        pending.add(data)
        connection.blocked(self)
        if pending.size > connection.limits.stream_buffer_bytes:
            self.refused = True
            return False
        return True

    def end(self, trailers: bytes) -> None:
        """Send the last header block, behind all data."""
        if self.pending is None:
            self.send_headers(trailers, end=True)
        else:
            self.trailers = trailers

    def end_with_data(self, data: bytes) -> None:
        """Send the last data; the response has no trailers."""
        # An empty frame with the flag behind the data: not worth a second path through `send`.
        self.send(data)
        if self.pending is None:
            self.connection.emit(frame(DATA, END_STREAM, self.id, b""))
            self.connection.ended(self)
        else:
            self.trailers = b""

    def reset(self, code: ErrorCode) -> None:
        """End the stream at once."""
        self.connection.reset_stream(self, code)


class Connection:
    """See the module. `receive` raises nothing: errors become frames and `closing`."""

    def __init__(
        self,
        handler: RequestHandler,
        wake: Callable[[], None],
        limits: Limits,
        pings: PingPolicy,
    ) -> None:
        self.limits = limits
        self.output: list[bytes | memoryview] = []
        self.closing = False
        """Everything has been said: close when the output is sent."""
        self.streams: dict[int, Stream] = {}
        self.window = WINDOW_DEFAULT
        self.sent_since_ping = False
        """Headers or data went out; see `PingPolicy.note_sent`."""
        self.response_state = 0
        """What the client's header table knows of our responses; see `rpc.grpc`."""
        self.table_allowed = True
        """The client's header table has its default size, so that we may count on it."""
        self._handler = handler
        self._wake = wake
        self._pings = pings
        self._decoder = HeaderDecoder()
        self._buffer = b""
        self._preface_seen = False
        self._receiving = False
        self._newest_id = 0
        self._going_away = False
        self._initial_window = WINDOW_DEFAULT
        self._unacknowledged = 0
        self._blocked: dict[int, Stream] = {}
        self._block: bytearray | None = None
        self._block_stream = 0
        self._block_flags = 0
        self.emit(
            frame(
                SETTINGS,
                0,
                0,
                _SETTING.pack(SETTING_MAX_STREAMS, min(limits.concurrent_streams, WINDOW_MAX))
                + _SETTING.pack(SETTING_WINDOW, limits.stream_window)
                + _SETTING.pack(SETTING_HEADER_LIST, hpack.HEADER_LIST_BYTES_MAX),
            )
            + frame(WINDOW_UPDATE, 0, 0, _U32.pack(CONNECTION_WINDOW - WINDOW_DEFAULT))
        )

    # Sending.

    def emit(self, data: bytes | memoryview) -> None:
        self.output.append(data)
        if not self._receiving and len(self.output) == 1:
            self._wake()

    def take_output(self) -> list[bytes | memoryview]:
        """What is to be sent, in pieces."""
        output, self.output = self.output, []
        return output

    def may_send(self, stream: Stream, size: int) -> bool:
        """Whether the windows allow `size` bytes; if so they are taken off."""
        if size > self.window or size > stream.window:
            return False
        self.window -= size
        stream.window -= size
        self.sent_since_ping = True
        return True

    def respond(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> None:
        """Send a whole response of one frame of data at most, if the windows allow it.

        Header block, data, last header block in one piece: the hot path.
        """
        size = len(data)
        stream_id = stream.id
        if size <= FRAME_BYTES_MAX and size <= self.window and size <= stream.window:
            self.window -= size
            self.sent_since_ping = True
            pack = _HEAD.pack
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
            self.ended(stream)
            return
        stream.send_headers(head)
        stream.send(data)
        stream.end(trailers)

    def blocked(self, stream: Stream) -> None:
        """`stream` has data that waits: send what the windows allow, remember the rest."""
        self._blocked[stream.id] = stream
        self._send_pending(stream)

    def ended(self, stream: Stream) -> None:
        """Our side of the stream is over."""
        self._blocked.pop(stream.id, None)
        stream.pending = None
        if self.streams.pop(stream.id, None) is not None and not stream.half_closed:
            # 8.1: all has been said though the client has not ended its side.
            self.emit(frame(RST_STREAM, 0, stream.id, _U32.pack(ErrorCode.NO_ERROR)))

    def reset_stream(self, stream: Stream, code: ErrorCode) -> None:
        self._blocked.pop(stream.id, None)
        if self.streams.pop(stream.id, None) is not None:
            self.emit(frame(RST_STREAM, 0, stream.id, _U32.pack(code)))

    def go_away(self, code: ErrorCode = ErrorCode.NO_ERROR, reason: str = "") -> None:
        """Accept no further streams; those that are open go on."""
        self._going_away = True
        payload = _U32.pack(self._newest_id) + _U32.pack(code) + reason.encode()
        self.emit(frame(GOAWAY, 0, 0, payload))

    def ping(self) -> None:
        """Ask whether the client is there."""
        self.emit(frame(PING, 0, 0, b"kvorum\0\0"))

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
            stream.window -= size
            self.sent_since_ping = True
            emit(_HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream_id))
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

    # Receiving.

    def receive(self, data: bytes) -> None:
        """Take in bytes of the client."""
        self._receiving = True
        try:
            self._receive(data)
        except Http2Error as error:
            self.go_away(error.code, str(error))
            self.closing = True
        finally:
            self._receiving = False

    def lost(self) -> None:
        """The connection is gone: every open request is cancelled."""
        streams, self.streams = self.streams, {}
        self._blocked.clear()
        for stream in streams.values():
            if stream.receiver is not None:
                stream.receiver.cancelled()

    def _receive(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        offset, end = 0, len(data)
        if not self._preface_seen:
            if end < len(PREFACE):
                self._buffer = data
                return
            if not data.startswith(PREFACE):
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "bad connection preface")
            self._preface_seen = True
            offset = len(PREFACE)
        unpack, head_bytes = _HEAD.unpack_from, FRAME_HEAD_BYTES
        while end - offset >= head_bytes and not self.closing:
            high, low, kind, flags, stream_id = unpack(data, offset)
            size = high << 8 | low
            if size > FRAME_BYTES_MAX:
                raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "frame too large")
            start = offset + head_bytes
            offset = start + size
            if offset > end:
                offset = start - head_bytes
                break
            if kind == DATA and self._block is None:
                self._on_data(flags, stream_id & 0x7FFFFFFF, data[start : start + size])
            elif kind == HEADERS and self._block is None:
                self._on_headers(flags, stream_id & 0x7FFFFFFF, data[start : start + size])
            else:
                self._on_other(kind, flags, stream_id & 0x7FFFFFFF, data[start : start + size])
        self._buffer = data[offset:]

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._unacknowledged += size
        if self._unacknowledged > CONNECTION_WINDOW // 2:
            self.emit(frame(WINDOW_UPDATE, 0, 0, _U32.pack(self._unacknowledged)))
            self._unacknowledged = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id == 0 or stream_id > self._newest_id:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "data on an idle stream")
            return  # a stream that is over; the client may not know it yet
        if flags & PADDED:
            payload = _unpadded(payload)
        if stream.half_closed:
            self.reset_stream(stream, ErrorCode.STREAM_CLOSED)
            return
        ended = flags & END_STREAM != 0
        if ended:
            stream.half_closed = True
        else:
            self._acknowledge(stream, size)
        assert stream.receiver is not None
        stream.receiver.data(payload, ended)

    def _acknowledge(self, stream: Stream, size: int) -> None:
        stream.unacknowledged += size
        if stream.unacknowledged > self.limits.stream_window // 2:
            self.emit(frame(WINDOW_UPDATE, 0, stream.id, _U32.pack(stream.unacknowledged)))
            stream.unacknowledged = 0

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & (PADDED | PRIORITY_FLAG):
            if flags & PADDED:
                payload = _unpadded(payload)
            if flags & PRIORITY_FLAG:
                payload = payload[5:]
        if flags & END_HEADERS:
            self._open(flags, stream_id, payload)
            return
        self._block = bytearray(payload)
        self._block_stream, self._block_flags = stream_id, flags

    def _open(self, flags: int, stream_id: int, block: bytes) -> None:
        headers = self._decoder.decode(block)
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._on_trailers(stream, flags)
            return
        if stream_id <= self._newest_id or not stream_id & 1:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "a stream id that is not new")
        self._newest_id = stream_id
        if len(self.streams) >= self.limits.concurrent_streams or self._going_away:
            self.emit(frame(RST_STREAM, 0, stream_id, _U32.pack(ErrorCode.REFUSED_STREAM)))
            return
        stream = Stream(self, stream_id, self._initial_window)
        self.streams[stream_id] = stream
        stream.receiver = self._handler.open(stream, headers)
        if flags & END_STREAM:
            stream.half_closed = True
            stream.receiver.data(b"", True)

    def _on_trailers(self, stream: Stream, flags: int) -> None:
        if not flags & END_STREAM:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "trailers that do not end the stream")
        stream.half_closed = True
        assert stream.receiver is not None
        stream.receiver.data(b"", True)

    def _on_other(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None:
            self._on_continuation(kind, flags, stream_id, payload)
        elif kind == WINDOW_UPDATE:
            self._on_window_update(stream_id, payload)
        elif kind == SETTINGS:
            self._on_settings(flags, stream_id, payload)
        elif kind == PING:
            self._on_ping(flags, stream_id, payload)
        elif kind == RST_STREAM:
            self._on_reset(stream_id, payload)
        elif kind in {CONTINUATION, PUSH_PROMISE}:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, f"frame of type {kind} out of place")
        # PRIORITY, GOAWAY and types that are not known have no effect here (4.1, 5.5).

    def _on_continuation(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        assert self._block is not None
        if kind != CONTINUATION or stream_id != self._block_stream:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted")
        self._block += payload
        if len(self._block) > HEADER_BLOCK_BYTES_MAX or not payload:
            # An empty one is legal and useless: a client that sends it means no good.
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM, "the header block is too large")
        if flags & END_HEADERS:
            block, self._block = bytes(self._block), None
            self._open(self._block_flags, stream_id, block)

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "window update of wrong size")
        increment = _U32.unpack(payload)[0] & 0x7FFFFFFF
        if increment == 0:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "window update of 0")
        if stream_id == 0:
            self.window += increment
            if self.window > WINDOW_MAX:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "window too large")
            if self._blocked:
                self._send_blocked()
            return
        if stream_id > self._newest_id:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "window update on an idle stream")
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        stream.window += increment
        if stream.window > WINDOW_MAX:
            self._cancel(stream, ErrorCode.FLOW_CONTROL_ERROR)
        elif stream.pending is not None:
            self._send_pending(stream)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "settings on a stream")
        if flags & ACK:
            if payload:
                raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "acknowledgement with settings")
            return
        if len(payload) % _SETTING.size:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "settings of wrong size")
        for setting, value in _SETTING.iter_unpack(payload):
            if setting == SETTING_WINDOW:
                self._set_initial_window(value)
            elif setting == SETTING_TABLE_SIZE and value < hpack.TABLE_BYTES_MAX:
                self.table_allowed = False
            elif setting == SETTING_FRAME_SIZE and not FRAME_BYTES_MAX <= value < 2**24:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "bad maximum frame size")
        self._pings.note_control_frame()
        self.emit(frame(SETTINGS, ACK, 0, b""))

    def _set_initial_window(self, value: int) -> None:
        if value > WINDOW_MAX:
            raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "initial window too large")
        change = value - self._initial_window
        self._initial_window = value
        for stream in self.streams.values():
            stream.window += change
        if change > 0:
            self._send_blocked()

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0 or len(payload) != 8:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "malformed ping")
        if flags & ACK:
            self._pings.answered()
            return
        self.emit(frame(PING, ACK, 0, payload))
        if self.sent_since_ping:
            self.sent_since_ping = False
            self._pings.note_sent()
        if self._pings.too_many(bool(self.streams)):
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

    def _on_reset(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4 or stream_id == 0 or stream_id > self._newest_id:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "malformed reset")
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._blocked.pop(stream_id, None)
            assert stream.receiver is not None
            stream.receiver.cancelled()

    def _cancel(self, stream: Stream, code: ErrorCode) -> None:
        self.reset_stream(stream, code)
        assert stream.receiver is not None
        stream.receiver.cancelled()


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
    return payload[1 : len(payload) - payload[0]]
