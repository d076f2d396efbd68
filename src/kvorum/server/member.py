"""One member: its parts wired together, its life, and what it does by the clock.

What clients may ask of it is in `api`. Everything runs on the event loop's thread but for the log
writer and the database's committer; long work is cut into steps.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from kvorum.cluster.ids import RequestIds, hex_id
from kvorum.cluster.versions import check_not_downgraded
from kvorum.errors import StoppedError, WireError
from kvorum.lease import Lessor
from kvorum.mvcc.rules import V3_4, V3_5, V3_6, Rules
from kvorum.mvcc.store import Store
from kvorum.mvcc.watch import WatchHub
from kvorum.mvcc.watch_ports import WatchLimits
from kvorum.proto.membership_pb2 import (
    Attributes,
    ClusterMemberAttrSetRequest,
    ClusterVersionSetRequest,
)
from kvorum.proto.versions import Version
from kvorum.raft import Config as RaftConfig
from kvorum.raft import RawNode, StateRole
from kvorum.server import entries, v2requests
from kvorum.server.alarms import Alarms
from kvorum.server.applier import Applier
from kvorum.server.apply import ApplyLoop
from kvorum.server.clock import monotonic_s, unix_ms
from kvorum.server.disk import DiskWriter
from kvorum.server.header import Headers
from kvorum.server.leases import ROUND_S, LeaseKeeper
from kvorum.server.log import Logger
from kvorum.server.node import Node, NoPeers
from kvorum.server.opening import OpenedMember
from kvorum.server.options import ServerOptions
from kvorum.server.proposals import Proposals
from kvorum.server.snapshots import Snapshotter
from kvorum.storage import CommitFailedError
from kvorum.storage.buckets import META, STORAGE_VERSION

STORAGE_VERSION_SINCE: Final = Version(3, 6)
LOG_ATTRIBUTES_SINCE: Final = Version(3, 5)
"""From here on members publish themselves by requests of their own, not by the v2 store's."""

PUBLISH_RETRY_S: Final = 0.5
MAX_INFLIGHT_MESSAGES: Final = 512
MAX_SIZE_PER_MESSAGE: Final = 1024 * 1024
APPLY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Committed entries handed out at once; bounds how long one pass of apply holds the loop."""


class EtcdServer:
    """See the module. Built on a running loop; `start` makes it take part."""

    def __init__(self, options: ServerOptions, opened: OpenedMember, log: Logger) -> None:
        self.options = options
        self.log = log
        self.member_id = opened.member_id
        self.cluster = opened.cluster
        self.backend = opened.backend
        self.headers = Headers(opened.cluster.id, opened.member_id)
        self.stopping = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the error that ends the member."""
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self._watch_scheduled = False
        self._compaction_scheduled = False
        self._was_leader = False
        self._version_proposal: asyncio.Future[bytes] | None = None

        ids = RequestIds(opened.member_id, unix_ms())
        self.proposals = Proposals(options, ids, opened.applied_index)
        self._open_state(options)
        self._join(options, opened)
        self.leases = LeaseKeeper(self.lessor, self._propose_own, options)

    def _open_state(self, options: ServerOptions) -> None:
        """Read leases and keys back; wire who tells whom of changes."""
        rules = rules_of(options.version)
        self.alarms = Alarms(self.backend)
        self.lessor = Lessor(
            self.backend,
            monotonic_s,
            options.lease_ttl_s_min,
            checkpoint_interval_s=options.lease_checkpoint_interval_s,
            checkpoint_persist=options.lease_checkpoint_persist,
        )
        self.store = Store(self.backend, self.lessor, rules=rules)
        self.lessor.delete_keys = self._delete_keys
        self.hub = WatchHub(
            self.store,
            header=self.headers.at,
            limits=WatchLimits(fragment_bytes_max=options.message_bytes_max),
            wake=self._wake_watches,
            refuses_negative_start=rules is V3_6,
        )
        self.store.on_events = self.hub.notify
        self.applier = Applier(
            self.store,
            self.lessor,
            self.cluster,
            self.alarms,
            self.headers,
            version_changed=self._cluster_version_changed,
            compaction_started=self.go_on_compacting,
            log=self.log,
        )

    def _join(self, options: ServerOptions, opened: OpenedMember) -> None:
        """Make this member's part in the consensus, and connect it with the log and with apply."""
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
        self._snapshotter = Snapshotter(options, opened, self._disk, self.log)
        loop = ApplyLoop(
            self.applier,
            self.proposals,
            self.cluster,
            raw.apply_conf_change,
            self._snapshotter,
            self.backend,
        )
        self.node = self.proposals.node = Node(
            raw,
            opened.storage,
            self._disk,
            NoPeers(),
            apply=loop.apply,
            role_changed=self._role_changed,
            dropped=self.proposals.dropped,
            failed=self._fail,
        )
        self._snapshotter.flush_state = self.node.flush_state

    # Life.

    async def start(self) -> None:
        """Take part in the cluster; returns when the member has published itself.

        Raises:
            DowngradeError: the cluster runs at a higher version than this member has.
            KvorumError: the log or the database failed meanwhile.
        """
        options = self.options
        check_not_downgraded(options.version, self.cluster.version)
        self.log.info(
            "starting etcd server",
            local_member_id=hex_id(self.member_id),
            local_server_version=str(options.version),
            cluster_id=hex_id(self.cluster.id),
        )
        self._every(options.heartbeat_interval_s, self.node.tick)
        self._every(options.batch_interval_s, self._commit_round)
        self._every(ROUND_S, self._lease_round)
        self._every(options.watch_progress_interval_s, self.hub.progress_round)
        if self.store.compactions:
            self.go_on_compacting()
        self.node.start(at_once=options.initial_election_tick_advance)
        await self._unless_failed(self._publish())

    async def _unless_failed(self, work: Coroutine[None, None, None]) -> None:
        """Wait for `work`, or for the error that ends the member: it would wait for ever then."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self.failed), return_when=asyncio.FIRST_COMPLETED)
            if self.failed.done():
                self.failed.result()
            await task
        finally:
            task.cancel()

    async def stop(self) -> None:
        """Answer nothing more, write down what was applied, close the files."""
        self.stopping.set()
        for timer in self._timers:
            timer.cancel()
        self.node.stop()
        self.proposals.pending.fail_all(StoppedError())
        await self._disk.stop(self.node.take_late_state())
        try:
            self.backend.close()
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
            self._guarded(work)

        self._timers.append(self._loop.call_later(interval_s, run))

    def _guarded(self, work: Callable[[], object]) -> None:
        """Do `work`, unless the member is stopping. An error ends the member."""
        if self.stopping.is_set():
            return
        try:
            work()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Something happened after which no answer of this member can be trusted."""
        self.node.stop()
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # read here too: nobody may be waiting any more

    # Rounds of the loop.

    def _commit_round(self) -> None:
        self.backend.maybe_commit_nowait()
        self._snapshotter.go_on()

    def _lease_round(self) -> None:
        self.proposals.pending.expire(monotonic_s())
        if self.is_leader:
            self.leases.round()

    def _wake_watches(self) -> None:
        if not self._watch_scheduled:
            self._watch_scheduled = True
            self._loop.call_soon(self._guarded, self._sync_watches)

    def _sync_watches(self) -> None:
        self._watch_scheduled = False
        if self.hub.sync_round():
            self._wake_watches()

    def go_on_compacting(self) -> None:
        """Take the next step of a compaction, a little later."""
        if not self._compaction_scheduled:
            self._compaction_scheduled = True
            self._loop.call_later(
                self.options.compaction_sleep_s, self._guarded, self._compact_step
            )

    def _compact_step(self) -> None:
        self._compaction_scheduled = False
        self.store.step_compaction(self.options.compaction_batch_limit)
        self.backend.maybe_commit_nowait()
        if self.store.compactions:
            self.go_on_compacting()

    # What happens to the state.

    def _delete_keys(self, keys: Sequence[bytes]) -> None:
        """Delete a revoked lease's keys, all in one revision."""
        writer = self.store.begin()
        for key in keys:
            writer.delete_range(key, None)
        writer.end()

    def _cluster_version_changed(self, version: Version) -> None:
        if version >= STORAGE_VERSION_SINCE and self.options.version >= STORAGE_VERSION_SINCE:
            self.backend.put(META, STORAGE_VERSION, str(version).encode())

    # Leadership.

    @property
    def is_leader(self) -> bool:
        return self.node.raw.raft.role is StateRole.LEADER

    def _role_changed(self) -> None:
        raft = self.node.raw.raft
        self.headers.set_term(raft.term)
        name = hex_id(self.member_id)
        leads, led = self.is_leader, self._was_leader
        self._was_leader = leads
        if leads and not led:
            self.log.info(f"{name} became leader at term {raft.term}")
            self.lessor.promote(self.options.election_timeout_s)
            if self.cluster.version is None or self.cluster.version < self.options.version.cluster:
                self._version_proposal = self._propose_cluster_version()
        elif led and not leads:
            self.lessor.demote()
        if raft.lead:
            leader = hex_id(raft.lead)
            self.log.info(f"raft.node: {name} elected leader {leader} at term {raft.term}")

    # What the member says of itself through the log.

    async def _publish(self) -> None:
        """Make this member's name and URLs known; if it leads, the cluster's version as well."""
        options = self.options
        while True:
            try:
                await self._propose_attributes()
                break
            except WireError as error:
                if self.stopping.is_set():
                    raise
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
        if self._version_proposal is not None:
            # Else the first clients would be told that the version is not decided.
            await asyncio.wait((self._version_proposal,))
            self._version_proposal.exception()  # a new leader proposes again

    def _propose_attributes(self) -> asyncio.Future[bytes]:
        options = self.options
        if options.version < LOG_ATTRIBUTES_SINCE:
            mine = v2requests.Attributes(self.member_id, options.name, options.client_urls)
            return self._propose_v2(v2requests.publish_attributes(self.proposals.next_id(), mine))
        attributes = Attributes(name=options.name, client_urls=options.client_urls)
        request = ClusterMemberAttrSetRequest(
            member_ID=self.member_id, member_attributes=attributes
        )
        return self._propose_own(entries.CLUSTER_MEMBER_ATTR_SET, request)

    def _propose_cluster_version(self) -> asyncio.Future[bytes]:
        version = self.options.version.cluster
        if self.options.version < LOG_ATTRIBUTES_SINCE:
            return self._propose_v2(v2requests.publish_version(self.proposals.next_id(), version))
        request = ClusterVersionSetRequest(ver=str(version))
        return self._propose_own(entries.CLUSTER_VERSION_SET, request)

    def _propose_v2(self, data: bytes) -> asyncio.Future[bytes]:
        request = entries.decode(data)
        return self.proposals.propose_data(data, self.applier.v2_request, request)

    def _propose_own(self, tag: bytes, request: Any) -> asyncio.Future[bytes]:
        """Propose something that no client asked for."""
        method = self.applier.own_method(tag)
        return self.proposals.propose(tag, request.SerializeToString(), method, request)


def rules_of(version: Version) -> Rules:
    """How a store of the presented version compacts and hashes."""
    if version >= Version(3, 6):
        return V3_6
    return V3_5 if version >= Version(3, 5) else V3_4
