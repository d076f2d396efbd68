"""A snapshot on its way: the raft message, then the database behind it, in one request.

    u64 length, raftpb.Message (MsgSnap)
    the database in bbolt's format, to the end of the body

Source: shared facts, peer.md section 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from kvorum.errors import DecodeError
from kvorum.peer.buffer import PeerBuffer, block_of
from kvorum.peer.http import PeerHttpError
from kvorum.peer.options import PeerOptions, request_headers
from kvorum.peer.posting import check_answer, connection_to
from kvorum.peer.urls import UrlPicker
from kvorum.proto.raftpb import Message, MessageType
from kvorum.server.clock import monotonic_s
from kvorum.server.peer_ports import RaftPort, SnapshotBytes
from kvorum.server.receiving import TEMPORARY_PREFIX

SNAPSHOT_PATH: Final = "/raft/snapshot"
HEAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the raft message: it holds the membership."""
STUCK_S_MAX: Final = 60.0
"""How long the receiver may take no byte."""
ANSWER_S_MAX: Final = 600.0
"""How long the receiver may take from the last byte to its answer: a member like this one brings
the database into its own format and reads all keys first, some 6 s of a core for 500 MB. Stock
waits for ever."""


async def send_snapshot(
    message: Message,
    urls: UrlPicker,
    options: PeerOptions,
    port: RaftPort,
    removed: Callable[[], None],
) -> int:
    """Send a MsgSnap with its database. Returns the bytes of the database.

    Raises:
        PeerHttpError: it did not arrive.
    """
    url = urls.pick()
    connection = connection_to(
        url, options, io_timeout_s=STUCK_S_MAX, answer_timeout_s=ANSWER_S_MAX
    )
    try:
        async with port.snapshot_bytes(message) as database:
            answer = await connection.request(
                "POST",
                SNAPSHOT_PATH,
                [
                    *request_headers(options),
                    ("Content-Type", "application/octet-stream"),
                    ("X-PeerURLs", ",".join(options.peer_urls)),
                ],
                _body(database),
            )
            check_answer(answer, removed)
            return database.size_bytes
    except PeerHttpError:
        urls.failed(url)
        raise
    finally:
        connection.close()


async def _body(database: SnapshotBytes) -> AsyncIterator[bytes]:
    yield block_of(database.message.encode(legacy_snapshot_field=True))
    async for chunk in database:
        yield chunk


class SnapshotReceiver:
    """Takes the body of one request: the message, then the database into a temporary file.

    The file is written as the bytes come, on the loop's thread: they go into the page cache, which
    costs some 20 µs for 64 KiB. Making them durable is done by a thread, in `close_file`.
    """

    def __init__(self, folder: str) -> None:
        self._buffer = PeerBuffer()
        self._head = self._read_head()
        self._has_begun = False
        self._folder = folder
        self._fd: int | None = None
        self.path = ""
        """Of the file; empty: there is none yet."""
        self.message: Message | None = None
        self.size_bytes = 0
        self.begun_s = monotonic_s()

    def feed(self, data: bytes) -> None:
        """Take a part of the body.

        Raises:
            DecodeError: it does not begin with a message with a snapshot.
            OSError: the database cannot be written.
        """
        self._has_begun = self._has_begun or bool(data)
        if self.message is None:
            found = self._buffer.feed(data, self._head)
            if not found:
                return
            self.message = found[0]
            if not self.is_snapshot:
                return
            self._fd, self.path = tempfile.mkstemp(dir=self._folder, prefix=TEMPORARY_PREFIX)
            data = self._buffer.rest()
        if self._fd is not None:
            _write_all(self._fd, data)
            self.size_bytes += len(data)

    def _read_head(self) -> Iterator[Message | None]:
        block = yield from self._buffer.block(HEAD_BYTES_MAX)
        try:
            yield Message.decode(block)
        except DecodeError:
            raise DecodeError("unexpected EOF") from None  # stock's word for all of them
        while True:
            yield None

    @property
    def is_snapshot(self) -> bool:
        """Whether the message is there, and of the right kind."""
        message = self.message
        return (
            message is not None
            and message.type == MessageType.SNAP
            and message.snapshot is not None
        )

    async def close_file(self) -> None:
        """Make the file durable.

        Raises:
            OSError
        """
        fd, self._fd = self._fd, None
        assert fd is not None
        await asyncio.get_running_loop().run_in_executor(None, _sync_and_close, fd)

    def discard(self) -> None:
        """Remove the file, if it is still there."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def check_complete(self) -> Message:
        """The message, at the end of the body.

        Raises:
            DecodeError: the body ended before it.
        """
        if self.message is None:
            raise DecodeError("unexpected EOF" if self._has_begun else "EOF")
        return self.message


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _sync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
