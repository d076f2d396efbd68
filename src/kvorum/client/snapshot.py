"""A member's whole database, received piece by piece.

Source: etcd api/etcdserverpb/rpc.proto, SnapshotResponse; shared facts, disk.md section 9.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from kvorum.client.call import DEFAULT, Timeout
from kvorum.client.deadline import Deadline
from kvorum.client.endpoint import EndpointRing
from kvorum.client.errors import ConnectionLostError
from kvorum.client.methods import SNAPSHOT
from kvorum.client.retry import Retry
from kvorum.client.stream import Stream
from kvorum.client.transport import Transport
from kvorum.errors import Code, StatusError, WireError
from kvorum.proto.rpc_pb2 import SnapshotRequest, SnapshotResponse

SnapshotCall = Stream[SnapshotRequest, SnapshotResponse]


@dataclass(slots=True)
class SnapshotPart:
    """One piece of a snapshot; put one behind the other, the pieces are the file."""

    blob: bytes
    remaining_bytes: int
    """How much of the database follows. After the database comes its SHA-256, not counted here."""
    version: str
    """Version of the storage format, from members of 3.6 on."""


async def read_snapshot(
    transport: Transport, endpoint: str | None, timeout_s: Timeout
) -> AsyncGenerator[SnapshotPart, None]:
    """See `Maintenance.snapshot`."""
    stream, response = await _begin(transport, endpoint, timeout_s)
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


async def _begin(
    transport: Transport, endpoint: str | None, timeout_s: Timeout
) -> tuple[SnapshotCall, SnapshotResponse | None]:
    """The call and its first message. Until there is one, the call may be made again."""
    limit_s = None if timeout_s is DEFAULT else timeout_s
    deadline = Deadline(limit_s)
    # Without a limit for all of it there still is one for finding a member.
    patience = Deadline(transport.options.timeout_s) if limit_s is None else deadline
    ring = transport.ring if endpoint is None else EndpointRing([endpoint])
    retry = Retry(transport.options, ring, patience, is_read=True)
    token_renewed = False
    while True:
        target = ring.current
        try:
            stream = await transport.ask(target, SNAPSHOT, SnapshotRequest(), deadline.left_s())
            try:
                return stream, await stream.next()
            except BaseException:
                stream.cancel()
                raise
        except WireError as error:
            if not token_renewed and transport.token_is_stale(error):
                token_renewed = True
                continue
            raised = await retry.after(target, error)
        if raised is not None:
            raise raised
