"""gRPC message framing: one byte of flags, four bytes of length, the message.

Source: gRPC over HTTP/2, "Length-Prefixed-Message".
"""

from __future__ import annotations

from kvorum.errors import Code, StatusError

HEAD_BYTES = 5
_PLAIN = b"\0"


def frame(message: bytes) -> bytes:
    """`message` as an uncompressed gRPC frame."""
    return _PLAIN + len(message).to_bytes(4, "big") + message


class FrameReader:
    """Cuts a stream of body chunks into messages.

    Args:
        size_max: a longer message is refused with RESOURCE_EXHAUSTED before it is read.
        encoding: value of the request's `grpc-encoding`, for the refusal of a compressed message.
    """

    __slots__ = ("_buffer", "_encoding", "_size_max")

    def __init__(self, size_max: int, encoding: str = "") -> None:
        self._buffer = bytearray()
        self._size_max = size_max
        self._encoding = encoding

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk

    @property
    def is_empty(self) -> bool:
        """No byte of a further message has come."""
        return not self._buffer

    def take(self) -> bytes | None:
        """The next whole message, or None: feed more.

        Raises:
            StatusError: the message is compressed or too large.
        """
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES:
            return None
        size = int.from_bytes(buffer[1:HEAD_BYTES], "big")
        if size > self._size_max:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED,
                f"grpc: received message larger than max ({size} vs. {self._size_max})",
            )
        end = HEAD_BYTES + size
        if len(buffer) < end:
            return None
        if buffer[0]:
            raise compressed_refusal(buffer[0], self._encoding)
        message = bytes(buffer[HEAD_BYTES:end])
        del buffer[:end]
        return message


def compressed_refusal(flag: int, encoding: str) -> StatusError:
    """What a server without decompressors says of a frame whose flag byte is not 0.

    Source: observed on stock etcd 3.5.1, which registers no compressor.
    """
    if flag != 1:
        return StatusError(Code.INTERNAL, f"grpc: received unexpected payload format {flag}")
    if encoding in {"", "identity"}:
        return StatusError(
            Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding"
        )
    return StatusError(
        Code.UNIMPLEMENTED, f'grpc: Decompressor is not installed for grpc-encoding "{encoding}"'
    )
