"""What the layers above may ask of a member. `rpc` knows these Protocols and nothing else of it.

`server.member.EtcdServer` has them all; `embed` puts the two together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kvorum.proto.rpc_pb2 import (
        AlarmRequest,
        CompactionRequest,
        DeleteRangeRequest,
        DowngradeRequest,
        LeaseGrantRequest,
        LeaseRevokeRequest,
        PutRequest,
        RangeRequest,
        TxnRequest,
        WatchRequest,
    )
    from kvorum.server.metrics.family import Values

Response = bytes | asyncio.Future[bytes]
"""An encoded response, or a future of one. Futures raise `kvorum.errors.WireError`s."""


class KeyValuePort(Protocol):
    """Reads and writes of keys. `raw` are the bytes that `request` was parsed from."""

    def range(self, request: RangeRequest) -> Response: ...
    def range_stream(self, request: RangeRequest) -> AsyncIterator[bytes]:
        """Encoded RangeResponses, which put one behind the other are that of `range`.

        Raises:
            WireError: it cannot be read, or not in pieces; with the first piece or a later one.
        """
        ...

    def put(self, request: PutRequest, raw: bytes) -> Response: ...
    def delete_range(self, request: DeleteRangeRequest, raw: bytes) -> Response: ...
    def txn(self, request: TxnRequest, raw: bytes) -> Response: ...
    def compact(self, request: CompactionRequest, raw: bytes) -> Response: ...


class LeasePort(Protocol):
    """Leases."""

    def lease_grant(self, request: LeaseGrantRequest) -> Response: ...
    def lease_revoke(self, request: LeaseRevokeRequest, raw: bytes) -> Response: ...
    def lease_renew(self, lease_id: int) -> int | Awaitable[int]:
        """Start the lease's time anew: at once where this member leads, else at the leader.

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


class SnapshotReading(Protocol):
    """A snapshot of the whole database, in stock etcd's format, read piece by piece."""

    size_bytes: int
    digest: bytes
    """SHA-256 of everything, once everything has been read."""

    async def read(self) -> bytes:
        """The next piece; empty: that was all."""
        ...

    async def close(self) -> None: ...


class SnapshotPort(Protocol):
    """Snapshots of the whole database."""

    async def snapshot(self) -> SnapshotReading:
        """A snapshot with everything that was acknowledged before the call; to be closed."""
        ...

    def snapshot_version(self) -> str:
        """The version of the format of what is in it; empty where it is not told."""
        ...


class MaintenancePort(Protocol):
    """Care of one member's database."""

    def header(self) -> bytes: ...
    async def defragment(self) -> None:
        """Write the database anew, without free pages; requests are served meanwhile."""
        ...

    async def hash_database(self) -> int:
        """Hash of every row of every bucket, but for those that differ between equal members."""
        ...


class ServingPort(Protocol):
    """Whether a member wants to be asked."""

    def is_serving(self) -> bool: ...
    def on_serving_changed(self, told: Callable[[], None]) -> Callable[[], None]:
        """Have `told` called after each change. Returns what ends that."""
        ...


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

    @property
    def cluster_id(self) -> int: ...


class ClusterPort(Protocol):
    """The members, and changes of them; texts and checks as stock's."""

    def header_without_revision(self) -> bytes: ...
    def members(self) -> list[dict[str, Any]]: ...
    async def wait_linearizable(self) -> None: ...
    async def member_add(self, peer_urls: Sequence[str], *, is_learner: bool) -> dict[str, Any]:
        """Add a member. Returns its fields as `members` tells them."""
        ...

    async def member_remove(self, member_id: int) -> None: ...
    async def member_update(self, member_id: int, peer_urls: Sequence[str]) -> None: ...
    async def member_promote(self, member_id: int) -> None: ...


class LeaderPort(Protocol):
    """Who leads, and at which version."""

    def is_learner(self) -> bool: ...

    async def move_leader(self, target_id: int) -> None:
        """Make another member the leader; this one must be it."""
        ...

    async def downgrade(self, request: DowngradeRequest) -> str:
        """What is asked about going to a lower version. Returns the cluster's version."""
        ...


class ProbePort(Protocol):
    """What tells whether a member is well, and how busy it is."""

    def has_leader(self) -> bool: ...
    def is_learner(self) -> bool: ...
    def active_alarms(self) -> list[str]:
        """Names of the active alarms (`NOSPACE`), each once."""
        ...

    async def check_read(self, *, linearizable: bool) -> None:
        """Read as a client would.

        Raises:
            WireError: a client could not.
        """
        ...

    def versions(self) -> dict[str, str]: ...
    def metrics(self) -> Values:
        """The values of `metrics.families.MEMBER_FAMILIES`."""
        ...

    def raft_status(self) -> dict[str, Any]:
        """The state of the consensus, as `/debug/vars` shows it."""
        ...
