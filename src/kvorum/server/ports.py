"""What the layers above may ask of a member. `rpc` knows these Protocols and nothing else of it.

`server.member.EtcdServer` has them all; `embed` puts the two together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kvorum.proto.rpc_pb2 import (
        AlarmRequest,
        CompactionRequest,
        DeleteRangeRequest,
        LeaseGrantRequest,
        LeaseRevokeRequest,
        PutRequest,
        RangeRequest,
        TxnRequest,
        WatchRequest,
    )

Response = bytes | asyncio.Future[bytes]
"""An encoded response, or a future of one. Futures raise `kvorum.errors.WireError`s."""


class KeyValuePort(Protocol):
    """Reads and writes of keys. `raw` are the bytes that `request` was parsed from."""

    def range(self, request: RangeRequest) -> Response: ...
    def put(self, request: PutRequest, raw: bytes) -> Response: ...
    def delete_range(self, request: DeleteRangeRequest, raw: bytes) -> Response: ...
    def txn(self, request: TxnRequest, raw: bytes) -> Response: ...
    def compact(self, request: CompactionRequest, raw: bytes) -> Response: ...


class LeasePort(Protocol):
    """Leases."""

    def lease_grant(self, request: LeaseGrantRequest) -> Response: ...
    def lease_revoke(self, request: LeaseRevokeRequest, raw: bytes) -> Response: ...
    def lease_renew(self, lease_id: int) -> int:
        """Start the lease's time anew.

        Returns:
            The granted TTL in seconds; 0: there is no such lease.
        """
        ...

    async def lease_time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseLife: ...
    async def lease_ids(self) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class LeaseLife:
    """What is left of a lease. An unknown lease has `remaining_s` -1 and `granted_s` 0."""

    granted_s: int
    remaining_s: int
    keys: Sequence[bytes] = ()


class WatchSink(Protocol):
    """Where a watch stream puts its responses."""

    def send(self, message: bytes) -> bool:
        """Take one encoded WatchResponse. False: that is enough for now, wait for `writable`."""
        ...


class WatchHandle(Protocol):
    """One watch stream, fed with the client's requests."""

    def handle(self, request: WatchRequest) -> None: ...
    def writable(self) -> None: ...
    def close(self) -> None: ...


class WatchPort(Protocol):
    """Watch streams."""

    def new_watch_stream(self, sink: WatchSink) -> WatchHandle: ...


class InfoPort(Protocol):
    """What a member tells of itself and its cluster."""

    def header(self) -> bytes:
        """Field 1 (ResponseHeader) of a response at the current revision, encoded."""
        ...

    def header_without_revision(self) -> bytes: ...
    def has_leader(self) -> bool: ...
    def status(self) -> dict[str, Any]:
        """Fields of StatusResponse but the header, by name."""
        ...

    def alarm(self, request: AlarmRequest, raw: bytes) -> Response: ...
    def members(self) -> list[dict[str, Any]]:
        """Fields of `etcdserverpb.Member`, of each member, by member id."""
        ...

    async def wait_linearizable(self) -> None:
        """Return when this member has applied everything that was committed before the call."""
        ...

    async def hash_kv(self, revision: int) -> tuple[int, int, int]:
        """Hash of the keys at `revision` (0: newest), compaction revision, revision hashed.

        The last is 0 where the presented version does not tell it.
        """
        ...

    def versions(self) -> dict[str, str]:
        """The answer of `GET /version`."""
        ...

    async def health(self, *, serializable: bool) -> str:
        """Empty: healthy; else the reason why not, as `GET /health` words it."""
        ...

    @property
    def cluster_id(self) -> int: ...
