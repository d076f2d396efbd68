"""etcdserverpb.Maintenance.Snapshot: the whole database, in pieces, then its SHA-256.

Pieces are of the size in which they come out of the pipe (`kvorum.server.snapshot_sending`, at most
128 KiB); stock's are of 32 KiB. They are built here of bytes, not by protobuf. While more than
`UNSENT_BYTES_MAX` wait for the client, no further piece is asked for.

Source: etcd server/etcdserver/api/v3rpc, Maintenance.Snapshot; observed on stock 3.4.23 and 3.5.1:
no header, `remaining_bytes` is what follows the message, the last message is the checksum.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from kvorum.errors import Code, StatusError, WireError
from kvorum.proto.rpc_pb2 import SnapshotRequest
from kvorum.proto.wire import delimited, varint
from kvorum.rpc.grpc import Call
from kvorum.server.log import Logger
from kvorum.server.ports import SnapshotPort, SnapshotReading

UNSENT_BYTES_MAX: Final = 128 * 1024
_REMAINING_TAG: Final = b"\x10"
_BLOB_TAG: Final = b"\x1a"
_VERSION_TAG: Final = b"\x22"


class Snapshotting:
    """One Snapshot call."""

    __slots__ = ("_call", "_log", "_server", "_task", "_writable")

    def __init__(self, server: SnapshotPort, call: Call, log: Logger) -> None:
        self._server = server
        self._call = call
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        call.on_writable(self._writable.set)

    def message(self, _: SnapshotRequest) -> None:
        if self._task is not None:
            raise StatusError(Code.INTERNAL, "a second request in a call that takes one")
        self._task = asyncio.ensure_future(self._run())

    def half_closed(self) -> None:
        if self._task is None:
            self._call.finish(StatusError(Code.UNKNOWN, "EOF"))

    def closed(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._send_all()
        except WireError as error:
            self._log.warn("failed to send a database snapshot to client", error=error)
            self._call.finish(error)
        except Exception as error:
            self._log.error("failed to send a database snapshot to client", error=error)
            self._call.finish(StatusError(Code.INTERNAL, "internal error; see the member's log"))
        else:
            self._call.finish()

    async def _send_all(self) -> None:
        started_s = monotonic()
        source = await self._server.snapshot()
        try:
            size_bytes = source.size_bytes
            self._log.info("sending database snapshot to client", total_bytes=size_bytes)
            await self._send(source)
        finally:
            await source.close()
        self._log.info(
            "successfully sent database snapshot to client",
            total_bytes=size_bytes,
            took=f"{monotonic() - started_s:.3f}s",
        )

    async def _send(self, source: SnapshotReading) -> None:
        call, left = self._call, source.size_bytes
        version = self._server.snapshot_version().encode()
        end = delimited(_VERSION_TAG, version) if version else b""
        while piece := await source.read():
            left -= len(piece)
            call.send(_frame(left, piece, end))
            while not call.has_room(UNSENT_BYTES_MAX):
                self._writable.clear()
                await self._writable.wait()
        call.send(_frame(0, source.digest, end))


def _frame(left: int, blob: bytes, end: bytes) -> bytes:
    """One framed SnapshotResponse. Joined once: 20 µs for 128 KiB."""
    remaining = _REMAINING_TAG + varint(left) if left else b""
    head = remaining + _BLOB_TAG + varint(len(blob))
    size = len(head) + len(blob) + len(end)
    return b"\0%b%b%b%b" % (size.to_bytes(4, "big"), head, blob, end)
