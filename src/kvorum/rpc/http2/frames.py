"""Frames of HTTP/2: numbers, layout, and the bounds of a connection.

Source: RFC 9113, sections 4, 6 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from kvorum.rpc.http2.errors import ErrorCode, Http2Error

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
"""What a client may send on all streams before it is taken in, which is at once."""
HEADER_BLOCK_BYTES_MAX: Final = 64 * 1024

FRAME_HEAD: Final = Struct(">HBBBI")
U32: Final = Struct(">I")
SETTING: Final = Struct(">HI")

SETTING_TABLE_SIZE, SETTING_PUSH, SETTING_MAX_STREAMS, SETTING_WINDOW = 1, 2, 3, 4
SETTING_FRAME_SIZE, SETTING_HEADER_LIST = 5, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one connection."""

    concurrent_streams: int = 100_000
    """Streams at the same time; a further one is refused, and the client may try it again."""
    stream_window: int = 4 * 1024 * 1024
    """What a client may send on one stream before it is taken in: at least one message."""
    stream_buffer_bytes: int = 4 * 1024 * 1024
    """Data that waits for one stream's client; above it the sender is told to wait."""
    unsent_bytes: int = 256 * 1024 * 1024
    """Data that waits for the client on all streams; above it further streams are refused, and
    long responses fail."""
    held_bytes: int = 256 * 1024 * 1024
    """Parts of requests whose rest has not come, on all streams; a call that goes above it
    fails."""
    output_bytes: int = 1024 * 1024
    """Data that may be on its way to the socket, however far the client opens its windows."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A whole frame."""
    size = len(payload)
    return FRAME_HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def header_frames(stream_id: int, block: bytes, *, end: bool) -> bytes:
    """A header block in as many frames as it takes."""
    flags = END_STREAM if end else 0
    if len(block) <= FRAME_BYTES_MAX:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + FRAME_BYTES_MAX] for at in range(0, len(block), FRAME_BYTES_MAX)]
    return b"".join(
        (
            frame(HEADERS, flags, stream_id, pieces[0]),
            *(frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]),
            frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1]),
        )
    )


def unpadded(payload: bytes) -> bytes:
    """The payload of a padded frame without its padding (6.1)."""
    if not payload or payload[0] >= len(payload):
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
    return payload[1 : len(payload) - payload[0]]
