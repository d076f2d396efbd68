"""One member: the parts of it wired together, and what the layers above may ask of it.

A write is checked, put into an entry and proposed; it is applied, and answered, when it comes back
from the log (`_apply`). A linearizable read waits for a read index; where this member alone is the
quorum, the newest applied state is that, and the read is answered at once.

Everything here runs on the event loop's thread. Long work is cut into steps.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from kvorum.cluster.ids import RequestIds, hex_id
from kvorum.cluster.versions import check_not_downgraded
from kvorum.errors import (
    LeaseNotFoundError,
    NoLeaderError,
    NoSpaceError,
    RequestTimeoutError,
    RequestTooLargeError,
    StoppedError,
    TimeoutLeaderFailError,
    WireError,
)
from kvorum.lease import Lessor
from kvorum.mvcc import checks, requests
from kvorum.mvcc import txn as transactions
from kvorum.mvcc.hashing import HashKV
from kvorum.mvcc.rules import V3_4, V3_5, V3_6, Rules
from kvorum.mvcc.store import Store
from kvorum.mvcc.watch import WatchHub
from kvorum.mvcc.watch_ports import WatchLimits
from kvorum.proto.membership_pb2 import (
    Attributes,
    ClusterMemberAttrSetRequest,
    ClusterVersionSetRequest,
)
from kvorum.proto.raftpb import ConfChange, Entry, EntryType
from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from kvorum.proto.versions import VERSION_NOT_DECIDED, Version
from kvorum.raft import Config as RaftConfig
from kvorum.raft import RawNode, StateRole
from kvorum.server import entries, v2requests
from kvorum.server.applier import Applier
from kvorum.server.clock import monotonic_s, unix_ms
from kvorum.server.disk import DiskWriter
from kvorum.server.header import Headers
from kvorum.server.leases import LeaseKeeper
from kvorum.server.log import Logger
from kvorum.server.node import Node, NoPeers
from kvorum.server.opening import OpenedMember, encode_conf_state
from kvorum.server.options import ServerOptions
from kvorum.server.pending import Pending, PendingTable
from kvorum.server.ports import LeaseLife, Response, WatchHandle, WatchSink
from kvorum.server.snapshots import Snapshotter
from kvorum.storage import Backend, CommitFailedError
from kvorum.storage.buckets import CONF_STATE, CONSISTENT_INDEX, META, STORAGE_VERSION, TERM

STORAGE_VERSION_SINCE: Final = Version(3, 6)
LOG_ATTRIBUTES_SINCE: Final = Version(3, 5)
"""From here on members publish themselves by requests of their own, not by those of the v2 store."""

PUBLISH_RETRY_S: Final = 0.5
EXPIRE_INTERVAL_S: Final = 0.5
MAX_INFLIGHT_MESSAGES: Final = 512
MAX_SIZE_PER_MESSAGE: Final = 1024 * 1024
APPLY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Committed entries handed out at once; bounds how long one pass of apply holds the loop."""


class EtcdServer:
    """See the module. Built by `embed` on a running loop; `start` makes it take part."""

    def __init__(self, options: ServerOptions, opened: OpenedMember, log: Logger) -> None:
        self.options = options
        self.log = log
        self.member_id = opened.member_id
        self.cluster = opened.cluster
        self.cluster_id = opened.cluster.id
        self.stopping = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the error that ends the member."""

        self._loop = asyncio.get_running_loop()
        self._backend = opened.backend
        self._backend.before_commit = self._before_commit
        self._headers = Headers(opened.cluster.id, opened.member_id)
        self._ids = RequestIds(opened.member_id, unix_ms())
        self._pending = PendingTable()
        self._timers: list[asyncio.TimerHandle] = []
        self._watch_scheduled = False
        self._compacting = False
        self._term = 0
        self.applied_index = opened.applied_index
        self._applied_at_open = opened.applied_index
        self._ready = self._loop.create_future()

        self.lessor = Lessor(
            opened.backend,
            monotonic_s,
            options.lease_ttl_s_min,
            checkpoint_persist=options.lease_checkpoint_persist,
        )
        self._rules = _rules(options.version)
        self.store = Store(opened.backend, self.lessor, rules=self._rules)
        self.lessor.delete_keys = self._delete_keys
        self.hub = WatchHub(
            self.store,
            header=self._headers.at,
            limits=WatchLimits(fragment_bytes_max=options.max_request_bytes + 512 * 1024),
            wake=self._wake_watches,
        )
        self.store.on_events = self.hub.notify
        self._applier = Applier(
            self.store,
            self.lessor,
            self.cluster,
            self._headers,
            self._cluster_version_changed,
            log,
        )
        self._disk = DiskWriter(opened.wal, self._loop, self._fail)
        raw = RawNode(
            RaftConfig(
                id=opened.member_id,
                election_tick=options.election_ticks,
                heartbeat_tick=1,
                storage=opened.storage,
                rng=random.Random(),
                applied=opened.applied_index,
                max_size_per_msg=MAX_SIZE_PER_MESSAGE,
                max_committed_size_per_ready=APPLY_BYTES_MAX,
                max_inflight_msgs=MAX_INFLIGHT_MESSAGES,
                check_quorum=True,
                pre_vote=options.pre_vote,
                async_storage_writes=True,
            )
        )
        self.node = Node(
            raw,
            opened.storage,
            self._disk,
            NoPeers(),
            apply=self._apply,
            role_changed=self._role_changed,
            dropped=self._dropped,
        )
        self._snapshotter = Snapshotter(
            options,
            opened.snapshot_index,
            opened.snapshot_files,
            opened.wal,
            opened.storage,
            self._disk,
            self._backend,
            log,
        )
        self._leases = LeaseKeeper(self.lessor, self._propose_own, options)

    # Life.

    async def start(self) -> None:
        """Take part in the cluster; returns when the member has published itself.

        Raises:
            ConfigError: the cluster runs at a higher version than this member has.
        """
        check_not_downgraded(self.options.version, self.cluster.version)
        self.log.info(
            "starting etcd server",
            local_member_id=hex_id(self.member_id),
            local_server_version=str(self.options.version),
            cluster_id=hex_id(self.cluster.id),
        )
        self._every(self.options.heartbeat_interval_s, self._tick)
        self._every(self.options.batch_interval_s, self._commit_round)
        self._every(EXPIRE_INTERVAL_S, self._expire_round)
        self._every(self.options.watch_progress_interval_s, self.hub.progress_round)
        if self.store.compactions:
            self._go_on_compacting()
        self.node.start()
        await self._publish()

    async def stop(self) -> None:
        """Answer nothing more, write down what was applied, close the files."""
        self.stopping.set()
        for timer in self._timers:
            timer.cancel()
        self.node.stop()
        self._pending.fail_all(StoppedError())
        await self._disk.stop(self.node.take_late_state())
        try:
            self._backend.close()
        except CommitFailedError as error:
            # Nothing is lost: the log has what the database has not.
            self.log.error("failed to commit at the end", error=error)

    def _every(self, interval_s: float, work: Callable[[], object]) -> None:
        """Do `work` every `interval_s` until the member stops. An error ends the member."""
        position = len(self._timers)

        def run() -> None:
            if self.stopping.is_set():
                return
            self._timers[position] = self._loop.call_later(interval_s, run)
            try:
                work()
            except Exception as error:
                self._fail(error)

        self._timers.append(self._loop.call_later(interval_s, run))

    def _fail(self, error: BaseException) -> None:
        """Something happened after which no answer of this member can be trusted."""
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # read here too: nobody may be waiting any more

    async def _publish(self) -> None:
        """Make this member's name and URLs known, through the log."""
        options = self.options
        mine = v2requests.Attributes(self.member_id, options.name, options.client_urls)
        while True:
            try:
                if options.version < LOG_ATTRIBUTES_SINCE:
                    data = v2requests.publish_attributes(self._ids.next(), mine)
                    await self._propose_data(data, self._applier.v2_request, None)
                else:
                    request = ClusterMemberAttrSetRequest(
                        member_ID=self.member_id,
                        member_attributes=Attributes(
                            name=options.name, client_urls=options.client_urls
                        ),
                    )
                    await self._propose_own(entries.CLUSTER_MEMBER_ATTR_SET, request)
                break
            except WireError as error:
                self.log.warn("failed to publish local member to cluster", error=error)
                await asyncio.sleep(PUBLISH_RETRY_S)
        self.log.info(
            "published local member to cluster through raft",
            local_member_id=hex_id(self.member_id),
            local_member_attributes=f"{{Name:{options.name} ClientURLs:"
            f"[{' '.join(options.client_urls)}]}}",
            cluster_id=hex_id(self.cluster.id),
            publish_timeout=f"{options.request_timeout_s:g}s",
        )

    # Rounds of the loop.

    def _tick(self) -> None:
        self.node.tick()

    def _commit_round(self) -> None:
        self._backend.maybe_commit_nowait()
        self._snapshotter.go_on()

    def _expire_round(self) -> None:
        self._pending.expire(monotonic_s())
        if self.is_leader:
            self._leases.round()

    def _wake_watches(self) -> None:
        if not self._watch_scheduled:
            self._watch_scheduled = True
            self._loop.call_soon(self._sync_watches)

    def _sync_watches(self) -> None:
        self._watch_scheduled = False
        if self.hub.sync_round() and not self.stopping.is_set():
            self._wake_watches()

    def _go_on_compacting(self) -> None:
        if not self._compacting:
            self._compacting = True
            self._loop.call_later(self.options.compaction_sleep_s, self._compact_step)

    def _compact_step(self) -> None:
        self._compacting = False
        if self.stopping.is_set():
            return
        self.store.step_compaction(self.options.compaction_batch_limit)
        self._backend.maybe_commit_nowait()
        if self.store.compactions:
            self._go_on_compacting()

    # The log.

    def _propose(
        self, tag: bytes, raw: bytes, method: Callable[[Any], bytes], request: Any
    ) -> asyncio.Future[bytes]:
        data = entries.encode(tag, raw, self._ids.next())
        if len(data) > self.options.max_request_bytes:
            raise RequestTooLargeError
        return self._propose_data(data, method, request)

    def _propose_data(
        self, data: bytes, method: Callable[[Any], bytes], request: Any
    ) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = self._loop.create_future()
        self.node.propose(data)
        deadline_s = monotonic_s() + self.options.request_timeout_s
        self._pending.add(data, Pending(method, request, future, deadline_s))
        return future

    def _propose_own(self, tag: bytes, request: Any) -> asyncio.Future[bytes]:
        """Propose something that no client asked for."""
        method = self._own_methods[tag]
        return self._propose(
            tag, request.SerializeToString(), method.__get__(self._applier), request
        )

    _own_methods: Final = {
        entries.LEASE_REVOKE: Applier.lease_revoke,
        entries.LEASE_CHECKPOINT: Applier.lease_checkpoint,
        entries.CLUSTER_VERSION_SET: Applier.cluster_version_set,
        entries.CLUSTER_MEMBER_ATTR_SET: Applier.cluster_member_attr_set,
    }

    def _dropped(self, batch: list[bytes], error: Exception) -> None:
        for data in batch:
            self._pending.fail(data, NoLeaderError())

    def _apply(self, batch: list[Entry]) -> None:
        """Apply committed entries and answer those who wait for them. The hot path of a write."""
        pop = self._pending.pop
        for entry in batch:
            index = entry.index
            assert index == self.applied_index + 1, (index, self.applied_index)
            data = entry.data
            if entry.type != EntryType.NORMAL:
                self._apply_conf_change(entry)
            elif data:
                pending = pop(data, None)
                if pending is None:
                    self._apply_foreign(data)
                else:
                    future = pending.future
                    try:
                        response = pending.method(pending.request)
                    except WireError as error:
                        if not future.done():
                            future.set_exception(error)
                    else:
                        if not future.done():
                            future.set_result(response)
            self.applied_index = index
        self._term = batch[-1].term
        self._backend.maybe_commit_nowait()
        self._snapshotter.applied(self.applied_index)
        if self.store.compactions:
            self._go_on_compacting()

    def _apply_foreign(self, data: bytes) -> None:
        """Apply an entry that nobody here waits for: another member's, or an old one of ours."""
        method, request = self._applier.method(entries.decode(data))
        try:
            method(request)
        except WireError:
            return  # it was refused when it was first applied, too

    def _apply_conf_change(self, entry: Entry) -> None:
        change = ConfChange.decode(entry.data or b"")
        try:
            self.cluster.validate(change)
        except WireError:
            change = ConfChange(change.id, change.type, 0)  # refused: raft goes through a no-op
        else:
            self.cluster.apply(change)
        state = self.node.apply_conf_change(change)
        self._snapshotter.conf_state = state
        self._backend.put(META, CONF_STATE, encode_conf_state(state))

    def _before_commit(self, backend: Backend) -> None:
        """What has been applied, in the same transaction as the changes."""
        if self.applied_index:
            backend.put(META, CONSISTENT_INDEX, self.applied_index.to_bytes(8, "big"))
        if self._term:
            backend.put(META, TERM, self._term.to_bytes(8, "big"))
        self._snapshotter.sealing(self.applied_index, self._term, self.cluster)

    def _cluster_version_changed(self, version: Version) -> None:
        if version >= STORAGE_VERSION_SINCE and self.options.version >= STORAGE_VERSION_SINCE:
            self._backend.put(META, STORAGE_VERSION, str(version).encode())

    def _delete_keys(self, keys: list[bytes]) -> None:
        """Delete a revoked lease's keys, all in one revision."""
        writer = self.store.begin()
        for key in keys:
            writer.delete_range(key, None)
        writer.end()

    # Leadership.

    @property
    def is_leader(self) -> bool:
        return self.node.raw.raft.role is StateRole.LEADER

    def _role_changed(self) -> None:
        raft = self.node.raw.raft
        self._headers.set_term(raft.term)
        name = hex_id(self.member_id)
        if self.is_leader:
            self.log.info(f"{name} became leader at term {raft.term}")
            self.lessor.promote(self.options.election_timeout_s)
            if self.cluster.version is None or self.cluster.version < self.options.version.cluster:
                self._set_cluster_version()
        else:
            self.lessor.demote()
        if raft.lead:
            self.log.info(f"raft.node: {name} elected leader {hex_id(raft.lead)} at term {raft.term}")

    def _set_cluster_version(self) -> None:
        version = self.options.version.cluster
        if self.options.version < LOG_ATTRIBUTES_SINCE:
            data = v2requests.publish_version(self._ids.next(), version)
            self._propose_data(data, self._applier.v2_request, None)
        else:
            self._propose_own(
                entries.CLUSTER_VERSION_SET, ClusterVersionSetRequest(ver=str(version))
            )

    # Reads: waiting until they are linearizable.

    async def wait_linearizable(self) -> None:
        """Return when everything committed before the call has been applied here.

        Raises:
            UnavailableError: no leader answered in time.
        """
        try:
            async with asyncio.timeout(self.options.request_timeout_s):
                index = self.node.read_index_nowait()
                if index is None:
                    index = await self.node.read_index()
                while self.applied_index < index:
                    await asyncio.sleep(0)
        except TimeoutError:
            raise (RequestTimeoutError if self.has_leader() else TimeoutLeaderFailError) from None

    def _read(self, serializable: bool, answer: Callable[[], bytes]) -> Response:
        if serializable:
            return answer()
        index = self.node.read_index_nowait()
        if index is not None and index <= self.applied_index:
            return answer()
        return asyncio.ensure_future(self._read_later(answer))

    async def _read_later(self, answer: Callable[[], bytes]) -> bytes:
        await self.wait_linearizable()
        return answer()

    # Keys.

    def range(self, request: RangeRequest) -> Response:
        checks.check_range(request, self._rules)
        return self._read(request.serializable, lambda: self._range_now(request))

    def _range_now(self, request: RangeRequest) -> bytes:
        body = requests.apply_range(self.store, request)
        return self._headers.at(self.store.revision) + body

    def put(self, request: PutRequest, raw: bytes) -> Response:
        checks.check_put(request)
        self._check_quota(256 + len(raw))
        return self._propose(entries.PUT, raw, self._applier.put, request)

    def delete_range(self, request: DeleteRangeRequest, raw: bytes) -> Response:
        checks.check_delete_range(request)
        return self._propose(entries.DELETE_RANGE, raw, self._applier.delete_range, request)

    def txn(self, request: TxnRequest, raw: bytes) -> Response:
        checks.check_txn(request, self._rules, self.options.max_txn_ops)
        if not transactions.is_write(request):
            serializable = transactions.is_serializable(request)
            return self._read(serializable, lambda: self._applier.txn(request))
        self._check_quota(len(raw))
        return self._propose(entries.TXN, raw, self._applier.txn, request)

    def compact(self, request: CompactionRequest, raw: bytes) -> Response:
        future = self._propose(entries.COMPACTION, raw, self._applier.compaction, request)
        return asyncio.ensure_future(self._compacted(future)) if request.physical else future

    async def _compacted(self, future: asyncio.Future[bytes]) -> bytes:
        response = await future
        if self.store.compactions:
            done = self._loop.create_future()
            self.store.compactions[-1].on_done = lambda: done.done() or done.set_result(None)
            await done
        return response

    def _check_quota(self, cost_bytes: int) -> None:
        quota = self.options.quota_bytes
        if quota and self._backend.size() + cost_bytes > quota:
            raise NoSpaceError

    # Leases.

    def lease_grant(self, request: LeaseGrantRequest) -> Response:
        self._check_quota(64)
        if request.ID == 0:
            request.ID = self._ids.next() & (2**63 - 1)
        raw = request.SerializeToString()
        return self._propose(entries.LEASE_GRANT, raw, self._applier.lease_grant, request)

    def lease_revoke(self, request: LeaseRevokeRequest, raw: bytes) -> Response:
        return self._propose(entries.LEASE_REVOKE, raw, self._applier.lease_revoke, request)

    def lease_renew(self, lease_id: int) -> int:
        if not self.is_leader:
            raise NoLeaderError
        try:
            return self.lessor.renew(lease_id)
        except LeaseNotFoundError:
            return 0

    async def lease_time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseLife:
        await self.wait_linearizable()
        try:
            granted_s, remaining_s = self.lessor.time_to_live(lease_id)
        except LeaseNotFoundError:
            return LeaseLife(0, -1)
        return LeaseLife(granted_s, remaining_s, self.lessor.keys(lease_id) if with_keys else ())

    async def lease_ids(self) -> list[int]:
        await self.wait_linearizable()
        return [lease.id for lease in self.lessor.leases()]

    # Watches.

    def new_watch_stream(self, sink: WatchSink) -> WatchHandle:
        return self.hub.new_stream(sink)

    # Information.

    def header(self) -> bytes:
        return self._headers.at(self.store.revision)

    def header_without_revision(self) -> bytes:
        return self._headers.without_revision()

    def has_leader(self) -> bool:
        return self.node.raw.raft.lead != 0

    def status(self) -> dict[str, Any]:
        raft = self.node.raw.raft
        status: dict[str, Any] = {
            "version": str(self.options.version),
            "dbSize": self._backend.size(),
            "dbSizeInUse": self._backend.size_in_use(),
            "leader": raft.lead,
            "raftIndex": raft.log.committed,
            "raftTerm": raft.term,
            "raftAppliedIndex": self.applied_index,
            "errors": [] if raft.lead else [NoLeaderError.text],
            "isLearner": False,
        }
        if self.options.version >= STORAGE_VERSION_SINCE:
            status["storageVersion"] = self._storage_version()
            status["dbSizeQuota"] = self.options.quota_bytes
            status["downgradeInfo"] = {"enabled": False}
        return status

    def _storage_version(self) -> str:
        return (self._backend.get(META, STORAGE_VERSION) or b"").decode()

    def members(self) -> list[dict[str, Any]]:
        return [
            {
                "ID": member.id,
                "name": member.name,
                "peerURLs": member.peer_urls,
                "clientURLs": member.client_urls,
                "isLearner": member.is_learner,
            }
            for member in self.cluster.members()
        ]

    async def hash_kv(self, revision: int) -> tuple[int, int, int]:
        job = HashKV(self.store, revision)
        try:
            while not job.step():
                await asyncio.sleep(0)
        finally:
            job.close()
        return job.result(), job.compact_revision, job.revision

    def versions(self) -> dict[str, str]:
        version = self.cluster.version
        versions = {
            "etcdserver": str(self.options.version),
            "etcdcluster": VERSION_NOT_DECIDED if version is None else str(version),
        }
        if self.options.version >= STORAGE_VERSION_SINCE:
            versions["storage"] = self._storage_version() or "unknown"
        return versions

    async def health(self, *, serializable: bool) -> str:
        if not serializable:
            if not self.has_leader():
                return "RAFT NO LEADER"
            try:
                await self.wait_linearizable()
            except WireError as error:
                return f"RANGE ERROR:{error.message}"
        return ""


def _rules(version: Version) -> Rules:
    """How a store of the presented version compacts and hashes."""
    if version >= Version(3, 6):
        return V3_6
    return V3_5 if version >= Version(3, 5) else V3_4
