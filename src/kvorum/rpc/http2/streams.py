"""One request and its response on a connection, and what waits of the response.

Data beyond the client's windows waits in `Stream.pending`, at most `Limits.stream_buffer_bytes`
and what a sender adds that does not heed the answer of `Stream.send`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from kvorum.rpc.http2.errors import ErrorCode
from kvorum.rpc.http2.frames import (
    DATA,
    END_STREAM,
    FRAME_BYTES_MAX,
    FRAME_HEAD,
    frame,
    header_frames,
)
from kvorum.rpc.http2.hpack import Headers

if TYPE_CHECKING:
    from kvorum.rpc.http2.sending import Sender

TABLE_EMPTIED: Final = b"\x20"
"""A header block begins with this when the client wants a smaller table (RFC 7541, 4.2)."""
SMALL_BYTES: Final = 1024
"""Pieces below this are put together: an object for each would outweigh its data."""


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

    __slots__ = ("_pieces", "_small", "size")

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self._small = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if len(data) < SMALL_BYTES:
            self._small += data
            if len(self._small) < FRAME_BYTES_MAX:
                return
            data = b""
        self._close_small()
        if data:
            self._pieces.append(memoryview(data))

    def take(self, size: int) -> list[memoryview]:
        """The first `size` bytes, which are there."""
        self.size -= size
        pieces, taken = self._pieces, []
        while size:
            if not pieces:
                self._close_small()
            piece = pieces[0]
            if len(piece) <= size:
                size -= len(piece)
                taken.append(pieces.popleft())
            else:
                taken.append(piece[:size])
                pieces[0] = piece[size:]
                size = 0
        return taken

    def _close_small(self) -> None:
        if self._small:
            self._pieces.append(memoryview(bytes(self._small)))
            self._small.clear()


class Stream:
    """One request and its response. Methods of the sending side belong to the handler.

    After the end of the stream, whoever ended it, they do nothing but take memory: a handler stops
    when its `Receiver.cancelled` is called.
    """

    __slots__ = (
        "connection",
        "half_closed",
        "held",
        "id",
        "on_writable",
        "pending",
        "receiver",
        "refused",
        "trailers",
        "unacknowledged",
        "window",
    )

    def __init__(self, connection: Sender, stream_id: int, window: int) -> None:
        self.connection = connection
        self.id = stream_id
        self.window = window
        self.receiver: Receiver | None = None
        self.half_closed = False
        """The client has ended its side."""
        self.held = 0
        """Bytes of the request that wait for their rest."""
        self.unacknowledged = 0
        """Bytes of the client for which its window has not been renewed."""
        self.pending: Pending | None = None
        self.trailers: bytes | None = None
        self.refused = False
        """The sender was told to wait. Meanwhile the client's window is not renewed either: one
        that asks and asks and never reads comes to an end."""
        self.on_writable: Callable[[], None] | None = None

    def send_headers(self, block: bytes, *, end: bool = False) -> None:
        """Send a header block, with `end` as the last thing of the stream."""
        connection = self.connection
        if not connection.table_allowed:
            block = TABLE_EMPTIED + block
        connection.sent_since_ping = True
        connection.emit(header_frames(self.id, block, end=end))
        if end:
            connection.ended(self)

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
                connection.emit(FRAME_HEAD.pack(size >> 8, size & 0xFF, DATA, 0, self.id) + data)
                return True
            pending = self.pending = Pending()
            pending.add(data)
            connection.blocked(self, size)
        else:
            # What waits already waits for a window. To try again here could call `on_writable`
            # inside of `send`.
            pending.add(data)
            connection.unsent_bytes += size
        if pending.size > connection.limits.stream_buffer_bytes:
            self.refused = True
            return False
        return True

    def end(self, trailers: bytes) -> None:
        """Send the last header block, behind all data.

        If data waits, `trailers` must not rely on the client's header table or change it.
        """
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

    def hold(self, size: int) -> bool:
        """Note that `size` bytes of the request wait for their rest.

        Returns:
            False: all streams together hold too much, this one must not go on.
        """
        connection = self.connection
        connection.held_bytes += size - self.held
        self.held = size
        return connection.held_bytes <= connection.limits.held_bytes

    def reset(self, code: ErrorCode) -> None:
        """End the stream at once."""
        self.connection.reset_stream(self, code)
