"""A member's whole database, received piece by piece.

Source: etcd api/etcdserverpb/rpc.proto, SnapshotResponse; shared facts, disk.md section 9.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from kvorum.client.errors import ConnectionLostError
from kvorum.client.methods import SNAPSHOT
from kvorum.client.transport import Transport
from kvorum.errors import Code, StatusError
from kvorum.proto.rpc_pb2 import SnapshotRequest


@dataclass(slots=True)
class SnapshotPart:
    """One piece of a snapshot; put one behind the other, the pieces are the file."""

    blob: bytes
    remaining_bytes: int
    """How much of the database follows. After the database comes its SHA-256, not counted here."""
    version: str
    """Version of the storage format, from members of 3.6 on."""


async def read_snapshot(
    transport: Transport, endpoint: str | None, timeout_s: float | None
) -> AsyncGenerator[SnapshotPart, None]:
    """See `Maintenance.snapshot`."""
    stream, response = await transport.ask(
        SNAPSHOT, SnapshotRequest(), timeout_s=timeout_s, endpoint=endpoint
    )
    try:
        expected: int | None = None
        while response is not None:
            # The checksum behind the database is counted by nobody.
            size_bytes = len(response.blob) if expected else 0
            if expected is not None and size_bytes + response.remaining_bytes != expected:
                raise StatusError(Code.DATA_LOSS, "pieces of the snapshot are missing")
            expected = response.remaining_bytes
            yield SnapshotPart(response.blob, response.remaining_bytes, response.version)
            response = await stream.next()
        if expected:
            raise ConnectionLostError(
                f"the member ended the snapshot {expected} bytes too early", stream.endpoint.text
            )
    finally:
        stream.cancel()
