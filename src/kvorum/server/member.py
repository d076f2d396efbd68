"""One member: its parts wired together, its life, and what it does by the clock.

What clients may ask of it is in `api`. Everything runs on the event loop's thread but for the log
writer and the database's committer; long work is cut into steps.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from kvorum.cluster.ids import RequestIds, hex_id
from kvorum.cluster.member import Member
from kvorum.cluster.versions import DOWNGRADES_SINCE, check_not_downgraded
from kvorum.errors import KvorumError, StoppedError, WireError
from kvorum.gotext import duration_text, format_size
from kvorum.lease import Lessor
from kvorum.mvcc.compaction import Compaction
from kvorum.mvcc.index import KeyIndex
from kvorum.mvcc.restore import StoredIndex
from kvorum.mvcc.rules import V3_4, V3_5, V3_6, Rules
from kvorum.mvcc.store import Store
from kvorum.mvcc.watch import WatchHub
from kvorum.mvcc.watch_ports import WatchLimits
from kvorum.proto.raftpb import ConfChange, Snapshot
from kvorum.proto.rpc_pb2 import CompactionRequest
from kvorum.proto.versions import Version
from kvorum.raft import Config as RaftConfig
from kvorum.raft import RawNode, StateRole
from kvorum.server import entries
from kvorum.server.alarms import Alarms
from kvorum.server.applier import Applier
from kvorum.server.apply import ApplyLoop
from kvorum.server.clock import monotonic_ns, monotonic_s, unix_ms
from kvorum.server.cluster_work import ClusterWork
from kvorum.server.compactors import Compactor, Retention, rule_of
from kvorum.server.database_workers import DatabaseWorkers
from kvorum.server.defragmenting import Defragmenter
from kvorum.server.disk import DiskWriter
from kvorum.server.header import Headers
from kvorum.server.inbox import Inbox
from kvorum.server.leases import ROUND_S, LeaseKeeper
from kvorum.server.log import Logger
from kvorum.server.metrics.counters import MemberCounters
from kvorum.server.node import Node
from kvorum.server.opening import OpenedMember
from kvorum.server.options import ServerOptions
from kvorum.server.peer_ports import Network, NoPeers, PeerQueriesPort, PeerTransportPort
from kvorum.server.proposals import Proposals
from kvorum.server.quota import Quota
from kvorum.server.reads import Reads
from kvorum.server.receiving import SnapshotReceiver, use_database
from kvorum.server.slow import SlowRequests
from kvorum.server.snapshot_sending import SnapshotSources
from kvorum.server.snapshots import Snapshotter
from kvorum.storage import CommitFailedError
from kvorum.storage.buckets import META, STORAGE_VERSION

STORAGE_VERSION_SINCE: Final = Version(3, 6)
MAX_INFLIGHT_MESSAGES: Final = 512
MAX_SIZE_PER_MESSAGE: Final = 1024 * 1024
REMOVED_DELAY_S: Final = 1.0
APPLY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Committed entries handed out at once; bounds how long one pass of apply holds the loop."""


class RemovedError(KvorumError):
    """The member was removed from its cluster; it has stopped for good."""

    def __init__(self) -> None:
        super().__init__("the member has been permanently removed from the cluster")


class EtcdServer:
    """See the module. Built on a running loop; `start` makes it take part."""

    def __init__(
        self,
        options: ServerOptions,
        opened: OpenedMember,
        log: Logger,
        network: Network | None = None,
    ) -> None:
        self.options = options
        self.log = log
        self.member_id = opened.member_id
        self.is_new = opened.is_new
        self.cluster = opened.cluster
        self.backend = opened.backend
        self.headers = Headers(opened.cluster.id, opened.member_id)
        self.counters = MemberCounters()
        self.workers = DatabaseWorkers(opened.backend)
        self.snapshot_sources = SnapshotSources(
            opened.backend, log, self.counters.db_snapshot_s, self.workers.gate
        )
        self.defragmenter = Defragmenter(opened.backend, self.workers, self.counters, log)
        self.stopping = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the error that ends the member."""
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self._watch_scheduled = False
        self._compaction_scheduled = False
        self._was_leader = False
        self._is_caught_up = False

        ids = RequestIds(opened.member_id, unix_ms())
        self.slow = SlowRequests(options.warning_apply_s, self.counters, log)
        self.wal_figures = opened.wal.figures
        self.snapshot_figures = opened.snapshot_files.figures
        self.proposals = Proposals(options, ids, opened.applied_index)
        self._open_state(options)
        self._join(options, opened)
        self._connect(opened, network)
        self.leases = LeaseKeeper(
            self.lessor,
            self.propose_own,
            options,
            leads_surely=lambda: self.node.read_index_nowait() is not None,
            wait_linearizable=self.reads.wait_linearizable,
        )
        self._compactor: asyncio.Task[None] | None = None

    def _open_state(self, options: ServerOptions) -> None:
        """Read leases and keys back; wire who tells whom of changes."""
        rules = rules_of(options.version)
        self.alarms = Alarms(self.backend)
        self.quota = Quota(
            options.quota_bytes,
            size=self.backend.size,
            member_id=self.member_id,
            alarms=self.alarms,
            propose=self.propose_own,
            log=self.log,
        )
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
        self.store.on_compacted = self._compacted
        self.applier = Applier(
            self.store,
            self.lessor,
            self.cluster,
            self.alarms,
            self.headers,
            version_changed=self._cluster_version_changed,
            compaction_started=self.go_on_compacting,
            note_growth=self.quota.note_growth,
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
        receiver = self.receiver = SnapshotReceiver(
            options.data_dir / "member" / "snap",
            opened.snapshot_files,
            opened.wal,
            self._replace_state,
            workers=self.workers,
            rules=self.store.rules,
        )
        loop = self._apply_loop = ApplyLoop(
            self.applier,
            self.proposals,
            self.cluster,
            raw.apply_conf_change,
            self._conf_applied,
            self._snapshotter,
            self.backend,
            self.counters,
            self.slow,
        )
        self.node = self.proposals.node = Node(
            raw,
            opened.storage,
            self._disk,
            apply=loop.apply,
            save_snapshot=receiver.save,
            restore=receiver.restore,
            next_id=self.proposals.next_id,
            role_changed=self._role_changed,
            dropped=self.proposals.dropped,
            is_awaited=self.proposals.pending.is_awaited,
            failed=self._fail,
        )
        self.reads = Reads(self.node, self.proposals, options.request_timeout_s, self.slow)
        self._snapshotter.flush_state = self.node.flush_state
        self._snapshotter.is_replaced = lambda: bool(self.node.snapshots_under_way())

    def _connect(self, opened: OpenedMember, network: Network | None) -> None:
        """Make the ways to the other members."""
        self.inbox = Inbox(
            self.member_id,
            self.cluster,
            self.node,
            self.snapshot_sources,
            self.receiver,
            folder=self.options.data_dir / "member" / "snap",
            removed=self._removed,
            log=self.log,
        )
        self._snapshotter.holds_log = self.inbox.holds_log
        self.transport: PeerTransportPort = NoPeers()
        self.queries: PeerQueriesPort | None = None
        if network is not None:
            self.transport = network.connect(self.inbox)
            self.queries = network.queries
        self.node.transport = self.transport
        for member in self.cluster.members():
            self.transport.add_peer(member.id, member.peer_urls)
        for member_id, urls in opened.remotes:
            self.transport.add_remote(member_id, urls)
        self.work = work = ClusterWork(self)
        self.announcer, self.leadership = work.announcer, work.leadership
        self.reconfiguration, self.leader_calls = work.reconfiguration, work.leader_calls

    # What reconfiguration and leadership need.

    def propose_conf_change(self, change: ConfChange) -> None:
        self.node.propose_conf_change(change)

    def next_id(self) -> int:
        return self.proposals.next_id()

    def timeout_error(self, begun_s: float) -> WireError:
        return self.leadership.timeout_error(begun_s)

    def leader_id(self) -> int:
        return self.node.raw.raft.lead

    def transfer_leader(self, member_id: int) -> None:
        self.node.transfer_leader(member_id)

    def matched(self) -> dict[int, int]:
        """How far each member's log is known to agree with ours; we lead."""
        progress = self.node.raw.raft.tracker.progress
        return {member_id: one.match for member_id, one in progress.items()}

    # Life.

    async def start(self) -> None:
        """Take part in the cluster; returns when the member has published itself.

        Raises:
            DowngradeError: the cluster runs at a higher version than this member has.
            RemovedError: it is no member any more.
            InconsistentError: its data is not that of the others.
            KvorumError: the log or the database failed meanwhile.
        """
        options = self.options
        self._check_not_downgraded()
        if self.cluster.is_removed(self.member_id):
            raise RemovedError
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
        self.work.start(self._every)
        if options.initial_corrupt_check and not self.is_new:
            await self.work.corruption.check_initially()
        if self.store.compactions:
            self.go_on_compacting()
        if options.retention is not None:
            self._start_compactor(options.retention)
        self.node.start(at_once=options.initial_election_tick_advance)
        await self._unless_failed(self.announcer.publish(self.stopping))
        self._is_caught_up = True
        self._check_not_downgraded()

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

    async def leave(self) -> None:
        """Let another member lead, if this one does. What clients asked is still seen to."""
        await self.leadership.hand_over()

    async def stop(self) -> None:
        """Answer nothing more, write down what was applied, close the files."""
        self.stopping.set()
        for timer in self._timers:
            timer.cancel()
        if self._compactor is not None:
            self._compactor.cancel()
        self.work.stop()
        self.leases.stop()
        self.transport.stop()
        self.node.stop()
        self.proposals.pending.fail_all(StoppedError())
        self.reads.fail_all(StoppedError())
        await self.snapshot_sources.stop()
        await self.workers.stop()
        await self.defragmenter.stop()
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
        now_s = monotonic_s()
        self.proposals.pending.expire(now_s, self._timeout_by_deadline)
        self.reads.expire(now_s)
        if self.is_leader:
            self.leases.round()

    def _timeout_by_deadline(self, deadline_s: float) -> WireError:
        return self.timeout_error(deadline_s - self.options.request_timeout_s)

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

    def _compacted(self, compaction: Compaction) -> None:
        """Tell of a compaction whose last row is gone, as the presented version does."""
        fields: dict[str, Any] = {
            "compact_revision": compaction.revision,
            "took": duration_text(compaction.took_s),
        }
        if self.options.version >= STORAGE_VERSION_SINCE:
            size, used = self.backend.size(), self.backend.size_in_use()
            fields |= {} if compaction.made is None else {"hash": compaction.made.value}
            fields |= {"current_db_size_bytes": size, "current_db_size": format_size(size)}
            fields |= {
                "current_db_size_in_use_bytes": used,
                "current_db_size_in_use": format_size(used),
            }
        self.log.info("finished scheduled compaction", **fields)
        if self.options.version >= STORAGE_VERSION_SINCE and compaction.made is not None:
            value, previous, revision = compaction.made
            hashed = {"revision": revision, "compact_revision": previous}
            self.log.info("storing new hash", hash=value, **hashed)

    def _start_compactor(self, retention: Retention) -> None:
        compactor = Compactor(
            rule_of(retention, monotonic_ns),
            revision=lambda: self.store.revision,
            leads=lambda: self.is_leader,
            compact=self._propose_compaction,
            sleep=asyncio.sleep,
            clock_ns=monotonic_ns,
            log=self.log,
        )

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._fail(error)

        self._compactor = self._loop.create_task(compactor.run())
        self._compactor.add_done_callback(ended)

    async def _propose_compaction(self, revision: int) -> None:
        await self.propose_own(entries.COMPACTION, CompactionRequest(revision=revision))

    # What happens to the state.

    def _replace_state(
        self, database: Path, snapshot: Snapshot, stored: StoredIndex | None
    ) -> KeyIndex:
        """Let a leader's database take the place of ours; see `receiving.Replaced`."""
        index, keys = snapshot.metadata.index, self.store.index
        self.log.info("applying snapshot", incoming_leader_snapshot_index=index)
        use_database(self.backend, self.cluster, database, snapshot)
        self._apply_loop.restored(snapshot.metadata.term)
        self.alarms.reload(self.backend)
        self.lessor.reload(self.backend)
        self.store.reload(self.backend, stored)
        for member in self.cluster.members():
            self.transport.add_peer(member.id, member.peer_urls)
            self.transport.update_peer(member.id, member.peer_urls)
        for member_id in self.cluster.removed_ids():
            self.transport.remove_peer(member_id)
        self.hub.resync(self.store)
        self._snapshotter.restored(snapshot)
        self.proposals.note_applied(index)
        self.log.info("applied snapshot", incoming_leader_snapshot_index=index)
        return keys

    def _conf_applied(
        self, change: ConfChange, before: Member | None, refusal: Exception | None
    ) -> None:
        """A configuration change has been done, or refused: reach the members there are now."""
        member_id = change.node_id
        if refusal is None and member_id:
            member = self.cluster.member(member_id)
            if member is None:
                self.transport.remove_peer(member_id)
                if member_id == self.member_id:
                    # Not at once: the others should hear that this member has heard of it.
                    self._loop.call_later(REMOVED_DELAY_S, self._removed)
            else:
                self.transport.add_peer(member_id, member.peer_urls)
                self.transport.update_peer(member_id, member.peer_urls)
        self.reconfiguration.applied(change, before, refusal)

    def _removed(self) -> None:
        """Stop: this member is no part of the cluster any more, and never will be again."""
        self._fail(RemovedError())

    def _delete_keys(self, keys: Sequence[bytes]) -> None:
        """Delete a revoked lease's keys, all in one revision."""
        writer = self.store.begin()
        for key in keys:
            writer.delete_range(key, None)
        writer.end()

    def _check_not_downgraded(self) -> None:
        """Raise DowngradeError if this member is too old for its cluster."""
        cluster = self.cluster
        check_not_downgraded(self.options.version, cluster.version, cluster.downgrade_target)

    def _cluster_version_changed(self, old: Version | None, version: Version) -> None:
        if self._is_caught_up:  # else the log may go on to a lower one
            self._check_not_downgraded()
        if old is not None and version < min(old, DOWNGRADES_SINCE):
            # A new member must not get the log: it ends at requests that it does not know.
            self._snapshotter.want(leave_log=True)
        if self.options.version < STORAGE_VERSION_SINCE:
            return
        if version >= STORAGE_VERSION_SINCE:
            self.backend.put(META, STORAGE_VERSION, str(version).encode())
        elif self.backend.get(META, STORAGE_VERSION) is not None:
            # Down to a format that has no such row. What the log has of newer requests is left
            # behind with a snapshot: older members could not read them.
            self.log.info("updating storage version", new_storage_version=str(version))
            self.backend.delete(META, STORAGE_VERSION)
            self._snapshotter.want()

    # Leadership.

    @property
    def is_leader(self) -> bool:
        return self.node.raw.raft.role is StateRole.LEADER

    def _role_changed(self) -> None:
        raft = self.node.raw.raft
        self.headers.set_term(raft.term)
        self.counters.note_leader(raft.lead)
        name = hex_id(self.member_id)
        leads, led = self.is_leader, self._was_leader
        self._was_leader = leads
        if leads and not led:
            self.log.info(f"{name} became leader at term {raft.term}")
            self.lessor.promote(self.options.election_timeout_s)
            self.announcer.start_agreeing()
        elif led and not leads:
            self.lessor.demote()
        self.leadership.note(raft.term)

    def propose_own(self, tag: bytes, request: Any) -> asyncio.Future[bytes]:
        """Propose something that no client asked for."""
        method = self.applier.own_method(tag)
        return self.proposals.propose(tag, request.SerializeToString(), method, request)


def rules_of(version: Version) -> Rules:
    """How a store of the presented version compacts and hashes."""
    if version >= Version(3, 6):
        return V3_6
    return V3_5 if version >= Version(3, 5) else V3_4
