"""One HTTP/2 connection, without I/O.

`receive` takes what came from the socket and calls the handler; what is to be sent collects in
`output` until the owner takes it. The owner is called back (`wake`) when output appears outside of
`receive`, so everything that is answered in one turn of the event loop leaves in one write.

This file is the receiving side. The client's windows are renewed as data is taken in, for a stream
only while its own sender may send (`Stream.refused`).

What a client can cost: each of its frames a few µs at most, as long as it goes on sending; requests
that it resets are no cheaper for it than requests that it lets run, and what they left running is
bounded by the server's bound on proposals. So resets are not counted. Frames that make us write
(PING, SETTINGS) are; and the owner stops reading while the socket does not take the output.

Source: RFC 9113; the numbers in comments are its sections.
"""

from __future__ import annotations

from collections.abc import Callable

from kvorum.rpc.http2 import hpack
from kvorum.rpc.http2.errors import ErrorCode, Http2Error
from kvorum.rpc.http2.frames import (
    ACK,
    CONNECTION_WINDOW,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    FRAME_HEAD,
    FRAME_HEAD_BYTES,
    HEADER_BLOCK_BYTES_MAX,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTING,
    SETTING_FRAME_SIZE,
    SETTING_HEADER_LIST,
    SETTING_MAX_STREAMS,
    SETTING_PUSH,
    SETTING_TABLE_SIZE,
    SETTING_WINDOW,
    SETTINGS,
    U32,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    WINDOW_UPDATE,
    Limits,
    frame,
    unpadded,
)
from kvorum.rpc.http2.hpack import HeaderDecoder
from kvorum.rpc.http2.pings import PingPolicy
from kvorum.rpc.http2.sending import Sender
from kvorum.rpc.http2.streams import RequestHandler, Stream


class Connection(Sender):
    """See the module. `receive` raises nothing: errors become frames and `closing`."""

    def __init__(
        self,
        handler: RequestHandler,
        wake: Callable[[], None],
        limits: Limits,
        pings: PingPolicy,
    ) -> None:
        super().__init__(wake, limits)
        self._handler = handler
        self._pings = pings
        self._decoder = HeaderDecoder()
        self._buffer = b""
        self._preface_seen = False
        self._initial_window = WINDOW_DEFAULT
        self._unacknowledged = 0
        self._block: bytearray | None = None
        self._block_stream = 0
        self._block_flags = 0
        self.emit(
            frame(
                SETTINGS,
                0,
                0,
                SETTING.pack(SETTING_MAX_STREAMS, min(limits.concurrent_streams, WINDOW_MAX))
                + SETTING.pack(SETTING_WINDOW, limits.stream_window)
                + SETTING.pack(SETTING_HEADER_LIST, hpack.HEADER_LIST_BYTES_MAX),
            )
            + frame(WINDOW_UPDATE, 0, 0, U32.pack(CONNECTION_WINDOW - WINDOW_DEFAULT))
        )

    def receive(self, data: bytes) -> None:
        """Take in bytes of the client."""
        if self.closing:
            return
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
        for stream in tuple(self.streams.values()):
            self._forget(stream)
            if stream.receiver is not None:
                stream.receiver.cancelled()

    def _receive(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        offset, end = 0, len(data)
        if not self._preface_seen:
            if not self._is_preface(data):
                self._buffer = data
                return
            self._preface_seen = True
            offset = len(PREFACE)
        unpack, head_bytes = FRAME_HEAD.unpack_from, FRAME_HEAD_BYTES
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

    def _is_preface(self, data: bytes) -> bool:
        """3.4: the preface, and a settings frame behind it. False: more of it is needed."""
        head = len(PREFACE) + FRAME_HEAD_BYTES
        if not data.startswith(PREFACE[: len(data)]):
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "bad connection preface")
        if len(data) < head:
            return False
        if FRAME_HEAD.unpack_from(data, len(PREFACE))[2] != SETTINGS:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "the first frame is not of settings")
        return True

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._unacknowledged += size
        if self._unacknowledged > CONNECTION_WINDOW // 2:
            self.emit(frame(WINDOW_UPDATE, 0, 0, U32.pack(self._unacknowledged)))
            self._unacknowledged = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            if not stream_id & 1 or stream_id > self._newest_id:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "data on an idle stream")
            return  # a stream that is over; the client may not know it yet
        if flags & PADDED:
            payload = unpadded(payload)
        if stream.half_closed:
            self._cancel(stream, ErrorCode.STREAM_CLOSED)
            return
        ended = flags & END_STREAM != 0
        if ended:
            stream.half_closed = True
        elif not self._acknowledge(stream, size):
            return
        assert stream.receiver is not None
        stream.receiver.data(payload, ended)

    def _acknowledge(self, stream: Stream, size: int) -> bool:
        stream.unacknowledged += size
        if stream.unacknowledged > self.limits.stream_window:
            self._cancel(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return False
        if not stream.refused:
            self.renew_window(stream)
        return True

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & (PADDED | PRIORITY_FLAG):
            if flags & PADDED:
                payload = unpadded(payload)
            if flags & PRIORITY_FLAG:
                if len(payload) < 5:
                    raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "no room for the priority")
                payload = payload[5:]
        if flags & END_HEADERS:
            self._open(flags, stream_id, payload)
            return
        self._block = bytearray(payload)
        self._block_stream, self._block_flags = stream_id, flags

    def _open(self, flags: int, stream_id: int, block: bytes) -> None:
        headers = self._decoder.decode(block)
        if stream_id <= self._newest_id or not stream_id & 1:
            self._on_trailers(flags, stream_id)
            return
        self._newest_id = stream_id
        if (
            len(self.streams) >= self.limits.concurrent_streams
            or self._going_away
            or self.unsent_bytes > self.limits.unsent_bytes
        ):
            self._reset(stream_id, ErrorCode.REFUSED_STREAM)
            return
        stream = Stream(self, stream_id, self._initial_window)
        self.streams[stream_id] = stream
        if not flags & END_STREAM:
            stream.receiver = self._handler.open(stream, headers)
            return
        stream.half_closed = True
        stream.receiver = self._handler.open(stream, headers)
        stream.receiver.data(b"", True)

    def _on_trailers(self, flags: int, stream_id: int) -> None:
        """A header block for a stream id that is not new."""
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id in self._late:
                return  # 5.1: what was on its way when we ended the stream
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "a stream id that is not new")
        if stream.half_closed:
            self._cancel(stream, ErrorCode.STREAM_CLOSED)
            return
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
        elif kind in {CONTINUATION, PUSH_PROMISE} or (kind == PRIORITY and stream_id == 0):
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
        increment = U32.unpack(payload)[0] & 0x7FFFFFFF
        if stream_id == 0:
            if increment == 0:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "window update of 0")
            self._withheld += increment
            if self._withheld + self.window > WINDOW_MAX:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "window too large")
            return  # the owner refills when the output so far has gone
        if stream_id > self._newest_id or not stream_id & 1:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "window update on an idle stream")
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        stream.window += increment
        if increment == 0:
            self._cancel(stream, ErrorCode.PROTOCOL_ERROR)
        elif stream.window > WINDOW_MAX:
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
        if len(payload) % SETTING.size:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "settings of wrong size")
        self._pings.note_settings()
        window = self._initial_window
        for setting, value in SETTING.iter_unpack(payload):
            if setting == SETTING_WINDOW:
                window = value
                if value > WINDOW_MAX:
                    raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "initial window too large")
            elif setting == SETTING_TABLE_SIZE and value < hpack.TABLE_BYTES_MAX:
                self.table_allowed = False
            elif setting == SETTING_FRAME_SIZE and not FRAME_BYTES_MAX <= value < 2**24:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "bad maximum frame size")
            elif setting == SETTING_PUSH and value > 1:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "bad setting of push")
        self.emit(frame(SETTINGS, ACK, 0, b""))
        # Once for a frame: it may hold thousands of settings, and there may be as many streams.
        self._set_initial_window(window)

    def _set_initial_window(self, value: int) -> None:
        change = value - self._initial_window
        if change == 0:
            return
        self._initial_window = value
        for stream in self.streams.values():
            stream.window += change
            if stream.window > WINDOW_MAX:  # 6.9.2
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "window too large")
        if change > 0:
            self._send_blocked()

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "ping on a stream")
        if len(payload) != 8:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "ping of wrong size")
        if flags & ACK:
            return
        self.emit(frame(PING, ACK, 0, payload))
        if self.sent_since_ping:
            self.sent_since_ping = False
            self._pings.note_sent()
        if self._pings.too_many(bool(self.streams)):
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

    def _on_reset(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "reset of wrong size")
        if not stream_id & 1 or stream_id > self._newest_id:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "reset of an idle stream")
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._forget(stream)
            assert stream.receiver is not None
            stream.receiver.cancelled()

    def _cancel(self, stream: Stream, code: ErrorCode) -> None:
        self.reset_stream(stream, code)
        assert stream.receiver is not None
        stream.receiver.cancelled()


__all__ = ["Connection", "Limits"]
