"""The msgapp stream, version 2: what a leader appends, with little around the entries.

    u8 0                                                   heartbeat of the link
    u8 1, u64 count, count x (u64 length, Entry), u64 commit   entries right behind the last ones
    u8 2, u64 length, raftpb.Message                       any MsgApp, in full

Both sides remember the term and the index that the last message ended with; they start at 0. Form 1
leaves out what follows from them, and is used where a message continues the one before it.

Source: shared facts, peer.md section 4.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from kvorum.errors import DecodeError
from kvorum.peer.buffer import PeerBuffer, block_of, number_of
from kvorum.peer.messages import MESSAGE_BYTES_MAX
from kvorum.proto.raftpb import Entry, Message, MessageType

HEARTBEAT: Final = b"\x00"
_ENTRIES: Final = b"\x01"
_WHOLE: Final = b"\x02"

ENTRIES_MAX: Final = 1_000_000
"""Entries of one message. A leader sends about 1 MiB at a time; an entry costs 8 bytes at least."""


class MsgAppEncoder:
    """Writes one stream.

    Args:
        legacy: the other side is older than 3.6; see `Message.encode`.
    """

    __slots__ = ("_index", "_legacy", "_term")

    def __init__(self, *, legacy: bool) -> None:
        self._legacy = legacy
        self._term = 0
        self._index = 0

    def encode(self, message: Message) -> bytes:
        """One MsgApp."""
        assert message.type == MessageType.APP, message
        entries = message.entries
        follows = self._index == message.index
        if follows and self._term == message.log_term == message.term:
            parts = [_ENTRIES, number_of(len(entries))]
            parts += [block_of(entry.encode()) for entry in entries]
            parts.append(number_of(message.commit))
            self._index += len(entries)
            return b"".join(parts)
        self._term = message.term
        self._index = entries[-1].index if entries else message.index
        return _WHOLE + block_of(message.encode(legacy_snapshot_field=self._legacy))

    def heartbeat(self) -> bytes:
        return HEARTBEAT


class MsgAppDecoder:
    """Reads one stream. A decoder that has raised is of no more use.

    Args:
        remote: id of the member that sends.
        local: our id.
    """

    __slots__ = ("_buffer", "_index", "_local", "_reader", "_remote", "_term")

    def __init__(self, *, remote: int, local: int) -> None:
        self._remote = remote
        self._local = local
        self._term = 0
        self._index = 0
        self._buffer = PeerBuffer()
        self._reader = self._read()

    def feed(self, data: bytes) -> list[Message]:
        """Messages that `data` completes; heartbeats of the link are left out.

        Raises:
            DecodeError: this is no message, or one that is too long.
        """
        return self._buffer.feed(data, self._reader)

    def _read(self) -> Iterator[Message | None]:
        buffer = self._buffer
        while True:
            form = yield from buffer.take(1)
            if form == _ENTRIES:
                yield (yield from self._continued())
            elif form == _WHOLE:
                message = Message.decode((yield from buffer.block(MESSAGE_BYTES_MAX)))
                self._term = message.term
                self._index = message.entries[-1].index if message.entries else message.index
                yield message
            elif form != HEARTBEAT:
                raise DecodeError(f"a message of form {form[0]} on the msgapp stream")

    def _continued(self) -> Generator[None, None, Message]:
        buffer = self._buffer
        count = yield from buffer.number()
        if count > ENTRIES_MAX:
            raise DecodeError(f"{count} entries were announced, {ENTRIES_MAX} are allowed")
        entries = []
        for _ in range(count):
            block = buffer.block_now(MESSAGE_BYTES_MAX)
            if block is None:
                block = yield from buffer.block(MESSAGE_BYTES_MAX)
            entries.append(Entry.decode(block))
        commit = yield from buffer.number()
        index = self._index
        self._index += count
        return Message(
            type=MessageType.APP,
            to=self._local,
            from_=self._remote,
            term=self._term,
            log_term=self._term,
            index=index,
            entries=entries,
            commit=commit,
        )
