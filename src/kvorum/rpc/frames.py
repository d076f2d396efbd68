"""gRPC message framing: one byte of flags, four bytes of length, the message.

A client may compress its messages with gzip, as stock servers let it. Answers are not compressed:
a gRPC client takes them as they come.

Source: gRPC over HTTP/2, "Length-Prefixed-Message"; texts: observed on stock etcd 3.5.1.
"""

from __future__ import annotations

import zlib
from typing import Final

from kvorum.errors import Code, StatusError

HEAD_BYTES: Final = 5
KNOWN_ENCODINGS: Final = frozenset({b"", b"identity", b"gzip"})
_GZIP_WINDOW: Final = 31  # zlib's word for: a gzip header, any window
_GZIP_HEAD_BYTES: Final = 10


def frame(message: bytes) -> bytes:
    """`message` as an uncompressed gRPC frame."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class FrameReader:
    """Cuts a stream of body chunks into messages.

    Args:
        size_max: a longer message is refused with RESOURCE_EXHAUSTED before it is read.
        encoding: value of the request's `grpc-encoding`.
    """

    __slots__ = ("_buffer", "_encoding", "_size_max")

    def __init__(self, size_max: int, encoding: bytes = b"") -> None:
        self._buffer = bytearray()
        self._size_max = size_max
        self._encoding = encoding

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk

    @property
    def size(self) -> int:
        """Bytes that have come and have not been taken."""
        return len(self._buffer)

    def take(self) -> bytes | None:
        """The next whole message, or None: feed more.

        Raises:
            StatusError: the message is too large, or compressed in a way that is not known.
        """
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES:
            return None
        size = int.from_bytes(buffer[1:HEAD_BYTES], "big")
        if size > self._size_max:
            raise too_large(size, self._size_max)
        end = HEAD_BYTES + size
        if len(buffer) < end:
            return None
        flag, message = buffer[0], bytes(buffer[HEAD_BYTES:end])
        del buffer[:end]
        return self._unpacked(flag, message) if flag else message

    def _unpacked(self, flag: int, message: bytes) -> bytes:
        if flag != 1:
            raise StatusError(Code.INTERNAL, f"grpc: received unexpected payload format {flag}")
        if self._encoding in {b"", b"identity"}:
            raise StatusError(
                Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding"
            )
        check_encoding(self._encoding)
        return _gunzip(message, self._size_max)


def check_encoding(encoding: bytes) -> None:
    """Refuse a call whose messages could not be read, compressed or not.

    Raises:
        StatusError: UNIMPLEMENTED.
    """
    if encoding not in KNOWN_ENCODINGS:
        name = encoding.decode("latin-1")
        raise StatusError(
            Code.UNIMPLEMENTED, f'grpc: Decompressor is not installed for grpc-encoding "{name}"'
        )


def too_large(size: int, size_max: int) -> StatusError:
    """The refusal of a message above the limit."""
    return StatusError(
        Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {size_max})"
    )


def _gunzip(data: bytes, size_max: int) -> bytes:
    """`data` unpacked; never more than `size_max` and a byte is held."""
    if len(data) < _GZIP_HEAD_BYTES:
        raise _bad_gzip("unexpected EOF")
    machine = zlib.decompressobj(_GZIP_WINDOW)
    try:
        message = machine.decompress(data, size_max + 1)
    except zlib.error as error:
        # "incorrect header check" is about what comes first, the other checks are of the end.
        is_end = any(word in str(error) for word in ("data check", "length check"))
        text = "gzip: invalid checksum" if is_end else "gzip: invalid header"
        raise _bad_gzip(text) from None
    if len(message) > size_max:
        # The last four bytes of a gzip file say how long it is unpacked.
        raise too_large(int.from_bytes(data[-4:], "little"), size_max)
    if not machine.eof:
        raise _bad_gzip("unexpected EOF")
    return message


def _bad_gzip(reason: str) -> StatusError:
    return StatusError(Code.INTERNAL, f"grpc: failed to decompress the received message {reason}")
