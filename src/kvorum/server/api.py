"""What clients may ask of a member: the ports of `ports`, on top of `member`.

A write is checked here, before anything is proposed: what is refused here never reaches the log.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kvorum.errors import LeaseNotFoundError, NoLeaderError, NoSpaceError, NotLeaderError, WireError
from kvorum.mvcc import checks, requests
from kvorum.mvcc import txn as transactions
from kvorum.mvcc.hashing import HashKV
from kvorum.proto.rpc_pb2 import (
    NOSPACE,
    AlarmRequest,
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from kvorum.proto.versions import VERSION_NOT_DECIDED
from kvorum.server import entries
from kvorum.server.alarms import alarm_text
from kvorum.server.member import STORAGE_VERSION_SINCE, EtcdServer
from kvorum.server.ports import LeaseLife, Response, WatchHandle, WatchSink
from kvorum.storage.buckets import META, STORAGE_VERSION

PUT_OVERHEAD_BYTES = 256
LEASE_BYTES = 64
"""What a put costs besides its bytes, and a lease in all, by the quota's estimate."""


class MemberApi:
    """See the module."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server
        self._options = server.options
        self._store = server.store
        self._rules = server.store.rules
        self._applier = server.applier
        self._propose = server.proposals.propose
        self._read = server.proposals.read
        self._header_at = server.headers.at
        self.wait_linearizable = server.proposals.wait_linearizable
        self.new_watch_stream = self._new_watch_stream

    # Keys.

    def range(self, request: RangeRequest) -> Response:
        checks.check_range(request, self._rules)
        return self._read(request.serializable, lambda: self._range_now(request))

    def _range_now(self, request: RangeRequest) -> bytes:
        store = self._store
        return requests.apply_range(store, request, self._header_at(store.revision))

    def put(self, request: PutRequest, raw: bytes) -> Response:
        checks.check_put(request)
        if self._is_over_quota(PUT_OVERHEAD_BYTES + len(raw)):
            self._raise_no_space()
        return self._propose(entries.PUT, raw, self._applier.put, request)

    def delete_range(self, request: DeleteRangeRequest, raw: bytes) -> Response:
        checks.check_delete_range(request)
        return self._propose(entries.DELETE_RANGE, raw, self._applier.delete_range, request)

    def txn(self, request: TxnRequest, raw: bytes) -> Response:
        checks.check_txn(request, self._rules, self._options.max_txn_ops)
        if not transactions.is_write(request):
            serializable = transactions.is_serializable(request)
            return self._read(serializable, lambda: self._applier.txn(request))
        if self._is_over_quota(PUT_OVERHEAD_BYTES + len(raw)) and transactions.has_put(request):
            self._raise_no_space()
        return self._propose(entries.TXN, raw, self._applier.txn, request)

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

    def _is_over_quota(self, cost_bytes: int) -> bool:
        quota_bytes = self._options.quota_bytes
        return bool(quota_bytes) and self._server.backend.size() + cost_bytes > quota_bytes

    def _raise_no_space(self) -> None:
        """Refuse what does not fit, and raise the alarm that stops the whole cluster's writes.

        Raises:
            NoSpaceError
        """
        server = self._server
        if (server.member_id, NOSPACE) not in server.alarms.active(NOSPACE):
            request = AlarmRequest(
                action=AlarmRequest.ACTIVATE, memberID=server.member_id, alarm=NOSPACE
            )
            self._propose(entries.ALARM, request.SerializeToString(), self._applier.alarm, request)
        raise NoSpaceError

    def alarm(self, request: AlarmRequest, raw: bytes) -> Response:
        if request.action == AlarmRequest.GET:
            return self._applier.alarm(request)
        return self._propose(entries.ALARM, raw, self._applier.alarm, request)

    # Leases.

    def lease_grant(self, request: LeaseGrantRequest) -> Response:
        if self._is_over_quota(LEASE_BYTES):
            self._raise_no_space()
        if request.ID == 0:
            request.ID = self._server.proposals.next_id() & (2**63 - 1)
        raw = request.SerializeToString()
        return self._propose(entries.LEASE_GRANT, raw, self._applier.lease_grant, request)

    def lease_revoke(self, request: LeaseRevokeRequest, raw: bytes) -> Response:
        return self._propose(entries.LEASE_REVOKE, raw, self._applier.lease_revoke, request)

    def lease_renew(self, lease_id: int) -> int:
        try:
            ttl_s = self._server.lessor.renew(lease_id)
        except LeaseNotFoundError:
            return 0
        except NotLeaderError:
            raise NoLeaderError from None  # a cluster of one: it leads, or nobody does
        self._server.leases.renewed()
        return ttl_s

    async def lease_time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseLife:
        await self.wait_linearizable()
        lessor = self._server.lessor
        try:
            granted_s, remaining_s = lessor.time_to_live(lease_id)
        except LeaseNotFoundError:
            return LeaseLife(0, -1)
        return LeaseLife(granted_s, remaining_s, lessor.keys(lease_id) if with_keys else ())

    async def lease_ids(self) -> list[int]:
        await self.wait_linearizable()
        return [lease.id for lease in self._server.lessor.leases()]

    # Watches.

    def _new_watch_stream(self, sink: WatchSink) -> WatchHandle:
        return self._server.hub.new_stream(sink)

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
            "errors": [
                *([] if raft.lead else [NoLeaderError.text]),
                *map(alarm_text, server.alarms.active()),
            ],
        }
        if self._options.version >= STORAGE_VERSION_SINCE:
            status["storageVersion"] = self._storage_version()
            status["dbSizeQuota"] = self._options.quota_bytes
            status["downgradeInfo"] = {"enabled": False}
        return status

    def _storage_version(self) -> str:
        return (self._server.backend.get(META, STORAGE_VERSION) or b"").decode()

    def members(self) -> list[dict[str, Any]]:
        return [
            {
                "ID": member.id,
                "name": member.name,
                "peerURLs": member.peer_urls,
                "clientURLs": member.client_urls,
                "isLearner": member.is_learner,
            }
            for member in self._server.cluster.members()
        ]

    async def hash_kv(self, revision: int) -> tuple[int, int, int]:
        await self.wait_linearizable()
        job = HashKV(self._store, revision)
        try:
            while not job.step():
                await _next_turn()
        finally:
            job.close()
        # Which revision was hashed is told since 3.6.
        hashed = job.revision if self._options.version >= STORAGE_VERSION_SINCE else 0
        return job.result(), job.compact_revision, hashed

    def versions(self) -> dict[str, str]:
        version = self._server.cluster.version
        versions = {
            "etcdserver": str(self._options.version),
            "etcdcluster": VERSION_NOT_DECIDED if version is None else str(version),
        }
        if self._options.version >= STORAGE_VERSION_SINCE:
            versions["storage"] = self._storage_version() or "unknown"
        return versions

    async def health(self, *, serializable: bool) -> str:
        alarms = self._server.alarms
        if alarms.no_space or alarms.corrupt:
            return "ALARM NOSPACE" if alarms.no_space else "ALARM CORRUPT"
        if not serializable:
            if not self.has_leader():
                return "RAFT NO LEADER"
            try:
                await self.wait_linearizable()
            except WireError as error:
                return f"RANGE ERROR:{error.message}"
        return ""


async def _after(response: asyncio.Future[bytes], done: asyncio.Future[None]) -> bytes:
    """The response, once what it started is done."""
    result = await response
    await done
    return result


async def _next_turn() -> None:
    """Let the loop serve others before the next step of long work."""
    await asyncio.sleep(0)
