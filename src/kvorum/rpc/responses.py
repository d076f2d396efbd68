"""Header blocks of gRPC responses.

A good response's blocks are of two or three bytes, by way of the client's header table: our
encoder puts two entries into it, once. What it holds is `Sender.response_state`.

Source: gRPC over HTTP/2, "Responses"; RFC 7541, sections 2.3.2 and 6.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kvorum.errors import WireError, status_of
from kvorum.rpc.http2.hpack import indexed_literal, literal
from kvorum.rpc.http2.streams import Stream

_CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
_STATUS_OK: Final = (b"grpc-status", b"0")
_STATUS_200: Final = b"\x88"

# The two header blocks of a good response, by what the client's table knows already: nothing, the
# content type, or both (then the status is in front of it). A block moves the state on, so blocks
# must be sent in the order in which they are made.
_START: Final = (
    _STATUS_200 + indexed_literal(*_CONTENT_TYPE),
    _STATUS_200 + b"\xbe",
    _STATUS_200 + b"\xbf",
)
_OK: Final = (literal(*_STATUS_OK), indexed_literal(*_STATUS_OK), b"\xbe")
_NO_TABLE_START: Final = _STATUS_200 + literal(*_CONTENT_TYPE)
_NO_TABLE_OK: Final = literal(*_STATUS_OK)
MESSAGE_REMEMBERED_BYTES_MAX: Final = 512


def start_block(stream: Stream) -> bytes:
    """The first header block of a good response. Send it before making another block."""
    connection = stream.connection
    if not connection.table_allowed:
        return _NO_TABLE_START
    state = connection.response_state
    if state == 0:
        connection.response_state = 1
    return _START[state]


def ok_block(stream: Stream) -> bytes:
    """The last header block of a good response. Send it before making another block."""
    connection = stream.connection
    if not connection.table_allowed:
        return _NO_TABLE_OK
    if stream.pending is not None:
        return _NO_TABLE_OK  # it will be sent later, when the table may be another
    state = connection.response_state
    if state == 1:
        connection.response_state = 2
    return _OK[state]


def _status_fields(status: int, message: str) -> bytes:
    return literal(b"grpc-status", b"%d" % status) + literal(
        b"grpc-message", percent_encode(message)
    )


_status_fields_remembered = lru_cache(maxsize=256)(_status_fields)


def status_block(error: WireError) -> bytes:
    """The last header block of a call that failed."""
    status, message = status_of(error), error.message
    if len(message) > MESSAGE_REMEMBERED_BYTES_MAX:
        return _status_fields(status, message)
    return _status_fields_remembered(status, message)


def refusal_block(error: WireError) -> bytes:
    """The only header block of a call that failed before it sent anything."""
    return _STATUS_200 + literal(*_CONTENT_TYPE) + status_block(error)


def percent_encode(text: str) -> bytes:
    """`text` as a `grpc-message`: printable ASCII but `%` stays, all else is `%XX` of UTF-8."""
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode()
    )
