"""What clients may ask of a member: the ports of `ports`, on top of `member`.

A write is checked here, before anything is proposed: what is refused here never reaches the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from kvorum.errors import (
    Code,
    LeaseNotFoundError,
    NoLeaderError,
    NotLeaderError,
    StatusError,
    WireError,
)
from kvorum.mvcc import checks, requests
from kvorum.mvcc import txn as transactions
from kvorum.mvcc.range_stream import RangePieces, check_range_stream
from kvorum.proto.rpc_pb2 import (
    AlarmRequest,
    AlarmType,
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from kvorum.proto.versions import VERSION_NOT_DECIDED, Version
from kvorum.server import entries
from kvorum.server.alarms import alarm_text
from kvorum.server.clock import monotonic_s
from kvorum.server.cluster_api import ClusterApi
from kvorum.server.key_hashes import hash_keys
from kvorum.server.member import STORAGE_VERSION_SINCE, EtcdServer
from kvorum.server.metrics.collect import collect
from kvorum.server.metrics.family import Values
from kvorum.server.ports import LeaseLife, Response, WatchHandle, WatchSink
from kvorum.server.quota import LEASE_BYTES, PUT_OVERHEAD_BYTES, put_cost, txn_cost
from kvorum.server.raft_status import describe_raft
from kvorum.server.snapshot_sending import SnapshotSource
from kvorum.storage.buckets import META, STORAGE_VERSION

STORAGE_FORMAT: Final = Version(3, 5)
"""The last version whose database does not name its format."""

HASH_WORKER: Final = "kvorum.server.hash_worker"


class MemberApi(ClusterApi):
    """See the module."""

    def __init__(self, server: EtcdServer) -> None:
        super().__init__(server)
        self._options = server.options
        self._store = server.store
        self._rules = server.store.rules
        self._applier = server.applier
        self._propose = server.proposals.propose
        self._read = server.reads.read
        self._header_at = server.headers.at
        self._quota = server.quota
        self._has_room = server.quota.has_room
        self._txn_overhead_bytes = PUT_OVERHEAD_BYTES * server.options.max_txn_ops
        self._slow = server.slow
        self._counters = server.counters
        self._ranges_s = server.counters.ranges_s
        self.wait_linearizable = server.reads.wait_linearizable
        self.new_watch_stream = self._new_watch_stream

    # Keys.

    def range(self, request: RangeRequest) -> Response:
        checks.check_range(request, self._rules)
        return self._read(request.serializable, self._range_now, request)

    def _range_now(self, request: RangeRequest) -> bytes:
        store, begun_s = self._store, monotonic_s()
        try:
            response = requests.apply_range(store, request, self._header_at(store.revision))
        except WireError:
            self._counters.ranges_failed_s.observe(monotonic_s() - begun_s)
            raise
        took_s = monotonic_s() - begun_s
        self._ranges_s.observe(took_s)
        if took_s > self._slow.limit_s:
            self._slow.read(took_s, request, response)
        return response

    async def range_stream(self, request: RangeRequest) -> AsyncIterator[bytes]:
        check_range_stream(request, self._rules)
        if not request.serializable:
            await self.wait_linearizable()
        pieces = RangePieces(self._store, request, self._options.max_request_bytes)
        for piece in pieces:
            yield self._header_at(pieces.newest) + piece if pieces.is_last else piece

    def put(self, request: PutRequest, raw: bytes) -> Response:
        checks.check_put(request)
        # First what it may cost at most, which is known without a look into it.
        if not (self._has_room(PUT_OVERHEAD_BYTES + len(raw)) or self._has_room(put_cost(request))):
            return self._quota.refuse_nowait()
        return self._propose(entries.PUT, raw, self._applier.put, request)

    def delete_range(self, request: DeleteRangeRequest, raw: bytes) -> Response:
        checks.check_delete_range(request)
        return self._propose(entries.DELETE_RANGE, raw, self._applier.delete_range, request)

    def txn(self, request: TxnRequest, raw: bytes) -> Response:
        if not checks.check_txn(request, self._rules, self._options.max_txn_ops):
            serializable = transactions.is_serializable(request)
            return self._read(serializable, self._read_txn_now, request)
        # First what the largest one may cost at most: no look into it.
        if not self._has_room(self._txn_overhead_bytes + len(raw)):
            cost = txn_cost(request)
            if cost and not self._has_room(cost):
                return self._quota.refuse_nowait()
        return self._propose(entries.TXN, raw, self._applier.txn, request)

    def _read_txn_now(self, request: TxnRequest) -> bytes:
        begun_s = monotonic_s()
        response = self._applier.read_txn(request)
        took_s = monotonic_s() - begun_s
        if took_s > self._slow.limit_s:
            self._slow.read(took_s, request, response)
        return response

    def compact(self, request: CompactionRequest, raw: bytes) -> Response:
        if not request.physical:
            return self._propose(entries.COMPACTION, raw, self._applier.compaction, request)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def resolve() -> None:
            if not done.done():
                done.set_result(None)

        def apply(request: CompactionRequest) -> bytes:
            return self._applier.compaction(request, resolve)

        future = self._propose(entries.COMPACTION, raw, apply, request)
        return asyncio.ensure_future(_after(future, done))

    def alarm(self, request: AlarmRequest, raw: bytes) -> Response:
        if request.action == AlarmRequest.GET:
            return asyncio.ensure_future(self._active_alarms(request))
        if request.alarm not in AlarmType.values():
            # A stock member that found this in the log would end.
            raise StatusError(Code.INVALID_ARGUMENT, f"etcdserver: unknown alarm {request.alarm}")
        return self._propose(entries.ALARM, raw, self._applier.alarm, request)

    async def _active_alarms(self, request: AlarmRequest) -> bytes:
        await self.wait_linearizable()
        return self._applier.alarm(request)

    # Leases.

    def lease_grant(self, request: LeaseGrantRequest) -> Response:
        if not self._has_room(LEASE_BYTES):
            return self._quota.refuse_nowait()
        if request.ID == 0:
            request.ID = self._server.proposals.next_id() & (2**63 - 1)
        raw = request.SerializeToString()
        return self._propose(entries.LEASE_GRANT, raw, self._applier.lease_grant, request)

    def lease_revoke(self, request: LeaseRevokeRequest, raw: bytes) -> Response:
        return self._propose(entries.LEASE_REVOKE, raw, self._applier.lease_revoke, request)

    def lease_renew(self, lease_id: int) -> int | Awaitable[int]:
        try:
            renewed = self._server.leases.renew(lease_id)
        except LeaseNotFoundError:
            return 0
        except NotLeaderError:
            return self._renew_at_leader(lease_id)
        return renewed if isinstance(renewed, int) else self._renew_later(lease_id, renewed)

    async def _renew_later(self, lease_id: int, renewed: Awaitable[int]) -> int:
        try:
            return await renewed
        except LeaseNotFoundError:
            return 0
        except NotLeaderError:
            return await self._renew_at_leader(lease_id)

    async def _renew_at_leader(self, lease_id: int) -> int:
        try:
            return await self._server.leader_calls.lease_renew(lease_id)
        except LeaseNotFoundError:
            return 0

    async def lease_time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseLife:
        if not self._server.is_leader:
            try:
                return await self._server.leader_calls.lease_time_to_live(
                    lease_id, with_keys=with_keys
                )
            except LeaseNotFoundError:
                return LeaseLife(0, -1)
        await self.wait_linearizable()
        lessor = self._server.lessor
        try:
            granted_s, remaining_s = lessor.time_to_live(lease_id)
        except LeaseNotFoundError:
            return LeaseLife(0, -1)
        return LeaseLife(granted_s, remaining_s, lessor.keys(lease_id) if with_keys else ())

    async def lease_ids(self) -> list[int]:
        return [lease.id for lease in self._server.lessor.leases()]

    # Watches.

    def _new_watch_stream(self, sink: WatchSink) -> WatchHandle:
        return self._server.hub.new_stream(sink)

    # Snapshots.

    async def snapshot(self) -> SnapshotSource:
        return await self._server.snapshot_sources.open()

    # Care of the database.

    async def defragment(self) -> None:
        server = self._server
        server.log.info("starting defragment")
        try:
            await server.defragmenter.defragment()
        except WireError as error:
            server.log.warn("failed to defragment", error=error)
            raise
        server.log.info("finished defragment")

    async def hash_database(self) -> int:
        begun_s = monotonic_s()
        ignored = sorted(name.decode() for name in self._rules.hash_ignored_meta)
        value = int(await self._server.workers.run(HASH_WORKER, *ignored))
        self._counters.hash_s.observe(monotonic_s() - begun_s)
        return value

    def is_serving(self) -> bool:
        stops = self._options.stops_serving_on_defrag
        return not (stops and self._server.defragmenter.is_running)

    def on_serving_changed(self, told: Callable[[], None]) -> Callable[[], None]:
        listeners = self._server.defragmenter.listeners
        listeners.append(told)
        return lambda: listeners.remove(told)

    def snapshot_version(self) -> str:
        return self._storage_version() if self._options.version >= STORAGE_VERSION_SINCE else ""

    # Information.

    @property
    def cluster_id(self) -> int:
        return self._server.cluster.id

    def header(self) -> bytes:
        return self._header_at(self._store.revision)

    def header_without_revision(self) -> bytes:
        return self._server.headers.without_revision()

    def has_leader(self) -> bool:
        return self._server.node.raw.raft.lead != 0

    def status(self) -> dict[str, Any]:
        server, raft = self._server, self._server.node.raw.raft
        status: dict[str, Any] = {
            "version": str(self._options.version),
            "dbSize": server.backend.size(),
            "dbSizeInUse": server.backend.size_in_use(),
            "leader": raft.lead,
            "raftIndex": raft.log.committed,
            "raftTerm": raft.term,
            "raftAppliedIndex": server.proposals.applied_index,
            "isLearner": raft.is_learner,
            "errors": [
                *([] if raft.lead else [NoLeaderError.text]),
                *map(alarm_text, server.alarms.active()),
            ],
        }
        if self._options.version >= STORAGE_VERSION_SINCE:
            status["storageVersion"] = self._storage_version()
            status["dbSizeQuota"] = self._options.quota_bytes
            status["downgradeInfo"] = self._downgrade_info()
        return status

    def _downgrade_info(self) -> dict[str, Any]:
        target = self._server.cluster.downgrade_target
        name = "" if target is None else str(target)
        return {"enabled": target is not None, "targetVersion": name}

    def _storage_version(self) -> str:
        """The version of the database's format; empty before the cluster has agreed on one."""
        stored = self._server.backend.get(META, STORAGE_VERSION)
        if stored is not None:
            return stored.decode()
        # Older formats do not say which they are.
        version = self._server.cluster.version
        return "" if version is None or version < STORAGE_FORMAT else str(STORAGE_FORMAT)

    async def hash_kv(self, revision: int) -> tuple[int, int, int]:
        hashed = await hash_keys(self._store, self._counters, revision)
        return hashed.value, hashed.compact_revision, self._hash_revision(hashed.revision)

    def _hash_revision(self, revision: int) -> int:
        """Which revision was hashed is told since 3.6."""
        return revision if self._options.version >= STORAGE_VERSION_SINCE else 0

    def versions(self) -> dict[str, str]:
        version = self._server.cluster.version
        versions = {
            "etcdserver": str(self._options.version),
            "etcdcluster": VERSION_NOT_DECIDED if version is None else str(version),
        }
        if self._options.version >= STORAGE_VERSION_SINCE:
            versions["storage"] = self._storage_version() or "unknown"
        return versions

    # Probes and metrics.

    def is_learner(self) -> bool:
        return self._server.node.raw.raft.is_learner

    def active_alarms(self) -> list[str]:
        kinds = {kind for _, kind in self._server.alarms.active()}
        return [AlarmType.Name(kind) for kind in sorted(kinds)]

    async def check_read(self, *, linearizable: bool) -> None:
        if linearizable:
            await self.wait_linearizable()
        self._store.index.count(b"\0", b"")
        self._server.backend.range(META, b"", None, 1)  # raises when the file cannot be read

    def metrics(self) -> Values:
        return collect(self._server)

    def raft_status(self) -> dict[str, Any]:
        return describe_raft(self._server.node.raw, self._server.proposals.applied_index)


async def _after(response: asyncio.Future[bytes], done: asyncio.Future[None]) -> bytes:
    """The response, once what it started is done."""
    result = await response
    await done
    return result
