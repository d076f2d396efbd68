"""The message stream: any raft message, one after the other.

    u64 length, raftpb.Message
    u64 length, raftpb.Message
    ...

A heartbeat of the link itself is a raft heartbeat from nobody to nobody.

Source: shared facts, peer.md section 3 (bytes of the heartbeat checked there).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kvorum.peer.buffer import PeerBuffer, block_of
from kvorum.proto.raftpb import Message, MessageType

MESSAGE_BYTES_MAX: Final = 512 * 1024 * 1024


class MessageEncoder:
    """Writes one stream.

    Args:
        legacy: the other side is older than 3.6; see `Message.encode`.
    """

    __slots__ = ("_legacy",)

    def __init__(self, *, legacy: bool) -> None:
        self._legacy = legacy

    def encode(self, message: Message) -> bytes:
        return block_of(message.encode(legacy_snapshot_field=self._legacy))

    def heartbeat(self) -> bytes:
        return self.encode(Message(type=MessageType.HEARTBEAT))


class MessageDecoder:
    """Reads one stream. A decoder that has raised is of no more use."""

    __slots__ = ("_buffer", "_reader")

    def __init__(self) -> None:
        self._buffer = PeerBuffer()
        self._reader = self._read()

    def feed(self, data: bytes) -> list[Message]:
        """Messages that `data` completes; heartbeats of the link are left out.

        Raises:
            DecodeError: this is no message, or one that is too long.
        """
        return self._buffer.feed(data, self._reader)

    def _read(self) -> Iterator[Message | None]:
        while True:
            message = Message.decode((yield from self._buffer.block(MESSAGE_BYTES_MAX)))
            if not is_link_heartbeat(message):
                yield message


def is_link_heartbeat(message: Message) -> bool:
    """Whether a message is no more than a sign of life."""
    return message.type == MessageType.HEARTBEAT and not message.from_ and not message.to
