"""The node loop: drives the consensus core and owns all of its I/O.

    propose ──▶ queue ──▶ core ──▶ log writer (thread) ──▶ core ──▶ apply ──▶ the caller's future

Proposals wait in a queue while a write is under way and form the next batch: one write, one sync,
one pass through the core for all of them. Nothing waits for a timer. When a write is done, the next
one is handed to the writer *before* the committed entries are applied, so the disk and the
processor work at the same time.

A state record that only moves the commit index (every batch makes one) is not worth a wake-up of
the writer: it is kept and goes into the file with the next entries, or at the next tick. Losing it
loses nothing: the commit index is learnt again after a restart.

Everything here runs on the event loop's thread, but for `DiskWriter`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from kvorum.errors import StoppedError, TooManyRequestsError
from kvorum.proto.raftpb import (
    ConfChange,
    ConfState,
    Entry,
    HardState,
    Message,
    MessageType,
    Snapshot,
)
from kvorum.raft import (
    LogDamagedError,
    MemoryStorage,
    PeerNotFoundError,
    ProposalDroppedError,
    RaftError,
    RawNode,
)
from kvorum.server.disk import AppendJob, DiskJob, DiskWriter, nothing
from kvorum.server.peer_ports import NoPeers

LOCAL_APPEND: Final = MessageType.STORAGE_APPEND
LOCAL_APPLY: Final = MessageType.STORAGE_APPLY

READ_RETRY_S: Final = 0.5
"""How long an answer about a read may take before it is asked for again. Source: etcd
(readIndexRetryTime)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalLimits:
    """Bounds of the proposals that wait for the node loop. At a bound the caller is refused."""

    count_max: int = 50_000
    size_bytes_max: int = 256 * 1024 * 1024


class Transport(Protocol):
    """Takes messages to other members. May drop any of them."""

    def send(self, messages: list[Message]) -> None: ...


class IndexWaiter(Protocol):
    """A read that waits for the index at which it sees everything committed before it."""

    def indexed(self, index: int) -> None: ...
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        ...


class _Round:
    """A round of reads that was asked for: who waits, and when it was asked last."""

    __slots__ = ("asked_s", "waiters")

    def __init__(self, waiters: list[IndexWaiter], asked_s: float) -> None:
        self.waiters = waiters
        self.asked_s = asked_s


class Node:
    """One member's part in the consensus.

    Args:
        raw: the core, in the mode of asynchronous storage writes.
        storage: the part of the log that is kept in memory; the core reads from it.
        disk: writes the log.
        apply: called with committed entries, in order, each once.
        save_snapshot: makes a snapshot that the leader sent durable; called on the log's thread.
        restore: called when it is, to let it take the place of the applied state.
        next_id: makes ids that no other member makes.
        role_changed: called when the leader or this member's role is another.
        dropped: called with each proposal that the core refused, and why.
        failed: called with what went wrong when it must not go on: a write that failed, a broken
            invariant. The node takes no part any more then.
    """

    def __init__(
        self,
        raw: RawNode,
        storage: MemoryStorage,
        disk: DiskWriter,
        *,
        apply: Callable[[list[Entry]], None],
        save_snapshot: Callable[[Snapshot], None],
        restore: Callable[[Snapshot], None],
        next_id: Callable[[], int],
        role_changed: Callable[[], None],
        dropped: Callable[[list[bytes], Exception], None],
        is_awaited: Callable[[bytes], bool],
        failed: Callable[[BaseException], None],
        limits: ProposalLimits | None = None,
    ) -> None:
        self.raw = raw
        self._storage = storage
        self._disk = disk
        self.transport: Transport = NoPeers()
        """Reaches the other members; set before the start."""
        self._apply = apply
        self._save_snapshot = save_snapshot
        self._restore = restore
        self._next_id = next_id
        self._role_changed = role_changed
        self._dropped = dropped
        self._is_awaited = is_awaited
        self._leaderless = False
        """Proposals have waited for a leader; some may have been given up."""
        self._failed = failed
        self._limits = limits or ProposalLimits()
        self._loop = asyncio.get_running_loop()
        self._proposals: list[bytes] = []
        self._proposals_bytes = 0
        self._reads: list[IndexWaiter] = []
        self._reads_asked: dict[bytes, _Round] = {}
        self.read_rounds = 0
        self._appends_under_way = 0
        self._late_state: HardState | None = None
        self._saving: set[int] = set()
        """Indexes of a leader's snapshots that are on their way to the disk."""
        self._scheduled = False
        self._draining = False
        self._stopped = False

    # Asking for something.

    def propose(self, data: bytes) -> None:
        """Queue a proposal. It comes back through `apply`, or through `dropped`.

        Raises:
            TooManyRequestsError: the queue is full; nothing was queued.
            StoppedError: the node takes no part any more.
        """
        if self._stopped:
            raise StoppedError
        limits = self._limits
        if (
            len(self._proposals) >= limits.count_max
            or self._proposals_bytes + len(data) > limits.size_bytes_max
        ):
            raise TooManyRequestsError
        self._proposals.append(data)
        self._proposals_bytes += len(data)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def propose_conf_change(self, change: ConfChange) -> None:
        """Propose a change of the members.

        Raises:
            ProposalDroppedError: there is no leader, or another change is under way.
        """
        self.raw.propose_conf_change(change)
        self._schedule()

    def read_index_nowait(self) -> int | None:
        """The commit index for a linearizable read, where no other member needs to be asked.

        None: ask with `read_index`.
        """
        return self.raw.read_index_now()

    def read_index(self, waiter: IndexWaiter) -> None:
        """Tell `waiter` a commit index at or behind everything that was committed before the call.

        Reads share a round through the members: those that are asked for while one is under way
        go with the next. One that is never answered is given up by whoever asks, in its own time.

        Raises:
            StoppedError: the node takes no part any more.
        """
        if self._stopped:
            raise StoppedError
        self._reads.append(waiter)
        if not self._scheduled:
            self._schedule()

    def apply_conf_change(self, change: ConfChange) -> ConfState:
        """Take a committed change into effect. Called from `apply`."""
        return self.raw.apply_conf_change(change)

    def start(self, *, at_once: bool) -> None:
        """Apply what is known to be committed; a member that is alone elects itself.

        Args:
            at_once: do not wait out the election timeout first: nobody else could win.
        """
        self._drain()
        tracker = self.raw.raft.tracker
        if at_once and tracker.is_singleton and self.raw.raft.id in tracker.progress:
            self.raw.campaign()
            self._drain()

    def tick(self) -> None:
        """One heartbeat interval has passed."""
        self.raw.tick()
        self.flush_state()
        if self._reads_asked:
            self._ask_again()
        self._schedule()

    def flush_state(self) -> None:
        """Hand the state record that waits to the log's writer."""
        state = self.take_late_state()
        if state is not None:
            self._disk.submit(AppendJob((), state, False, nothing))

    def step(self, message: Message) -> None:
        """A message of another member has come.

        Raises:
            RaftError: the core does not take it; nothing has changed.
        """
        if self._stopped:
            return
        try:
            self.raw.step(message)
        except (ProposalDroppedError, PeerNotFoundError):
            return  # forwarded to us who do not lead, or from somebody who is no member any more
        except RaftError as error:
            if not isinstance(error, LogDamagedError):
                raise
            self._end(error)
        except Exception as error:
            self._end(error)
        self._schedule()

    def report_unreachable(self, member_id: int) -> None:
        """A message to a member was lost: it gets less at a time until it answers."""
        if not self._stopped:
            self.raw.report_unreachable(member_id)

    def report_disconnected(self, member_id: int) -> None:
        """The connection to a member broke."""
        if not self._stopped:
            self.raw.report_disconnected(member_id)

    def report_snapshot(self, member_id: int, *, ok: bool) -> None:
        """A snapshot has arrived at a member, or failed to."""
        if not self._stopped:
            self.raw.report_snapshot(member_id, ok)
            self._schedule()

    def transfer_leader(self, member_id: int) -> None:
        """Ask a member to take over from this one."""
        self.raw.transfer_leader(member_id)
        self._schedule()

    def campaign(self) -> None:
        """Stand for election now."""
        self.raw.campaign()
        self._schedule()

    def snapshots_under_way(self) -> set[int]:
        """Indexes of a leader's snapshots that are going to take the place of the log."""
        snapshot = self.raw.raft.log.unstable.snapshot
        return self._saving if snapshot is None else self._saving | {snapshot.metadata.index}

    def take_late_state(self) -> HardState | None:
        """The state record that still waits, for whoever closes the log."""
        state, self._late_state = self._late_state, None
        return state

    def stop(self) -> None:
        """Take no more part. Who waits is told by those who asked."""
        self._stopped = True
        self._reads.clear()
        self._reads_asked.clear()

    # The loop.

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        if self._stopped:
            return
        try:
            if self._may_propose():
                self._propose_queued()
            if self._reads and not self._reads_asked:
                self._ask_reads()
            self._drain()
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception) -> None:
        """No answer may leave a member whose log or state cannot be trusted."""
        self.stop()
        self._failed(error)

    def _may_propose(self) -> bool:
        """Proposals wait while a write is under way, and while there is no leader to take them."""
        if not self._proposals or self._appends_under_way:
            return False
        if self.raw.raft.lead == 0:
            self._leaderless = True
            return False
        return True

    def _propose_queued(self) -> None:
        batch = self._proposals
        self._proposals = []
        self._proposals_bytes = 0
        if self._leaderless:
            # Who was told meanwhile that it timed out must not find it written later.
            self._leaderless = False
            batch = [data for data in batch if self._is_awaited(data)]
            if not batch:
                return
        try:
            self.raw.propose_batch(batch)
        except ProposalDroppedError as error:
            self._dropped(batch, error)

    def _ask_reads(self) -> None:
        reads, self._reads = self._reads, []
        # The leader keeps reads of all members by their contexts, so these must be unlike others'.
        self.read_rounds += 1
        context = self._next_id().to_bytes(8, "big")
        self._reads_asked[context] = _Round(reads, self._loop.time())
        self.raw.read_index(context)

    def _answer_reads(self, context: bytes, index: int) -> None:
        read = self._reads_asked.pop(context, None)
        if read is not None:
            for waiter in read.waiters:
                waiter.indexed(index)
        if self._reads:
            self._schedule()

    def _ask_again(self) -> None:
        """Ask once more for reads whose question or answer may have been lost on the way."""
        now_s = self._loop.time()
        for context, read in list(self._reads_asked.items()):
            if all(waiter.is_over() for waiter in read.waiters):
                # Who waited has given up. Others may have come meanwhile: the tick goes on to them.
                del self._reads_asked[context]
            elif now_s - read.asked_s >= READ_RETRY_S:
                read.asked_s = now_s
                self.raw.read_index(context)

    def _drain(self) -> None:
        """Do what the core wants done until it wants nothing more."""
        if self._draining:
            # `apply` may propose or step; the outer round sees it.
            self._schedule()
            return
        self._draining = True
        try:
            raw = self.raw
            while raw.has_ready():
                ready = raw.ready()
                if ready.soft_state is not None:
                    self._role_changed()
                    self._schedule()  # proposals may have waited for a leader
                    for read in self._reads_asked.values():
                        read.asked_s = -READ_RETRY_S  # at the next tick: the old one may be gone
                others: list[Message] = []
                committed: Message | None = None
                for message in ready.messages:
                    kind = message.type
                    if kind == LOCAL_APPEND:
                        self._append(message, ready.must_sync)
                    elif kind == LOCAL_APPLY:
                        committed = message
                    else:
                        others.append(message)
                if others:
                    self._deliver(others)
                for state in ready.read_states:
                    self._answer_reads(state.context, state.index)
                if committed is not None:
                    self._apply(committed.entries)
                    for response in committed.responses:
                        raw.step(response)
        finally:
            self._draining = False

    def _append(self, message: Message, must_sync: bool) -> None:
        """Have what the core wants stored written; `_stored` follows when it is durable."""
        state = None
        if message.term or message.vote or message.commit:
            state = HardState(message.term, message.vote, message.commit)
        entries = message.entries
        state = state or self._late_state
        if message.snapshot is not None:
            self._late_state = None
            self._append_snapshot(message, message.snapshot, state)
            return
        if not (entries or must_sync):
            # The answers wait for what is being written, not for a commit index to be.
            self._late_state = state
            if not message.responses:
                return
            if not self._appends_under_way:
                self._stored(message)
                return
            self._appends_under_way += 1
            self._disk.submit(AppendJob((), None, False, lambda: self._appended(message)))
            return
        self._late_state = None
        if len(entries) == 1 and self._disk.write_now(entries, state):
            self._stored(message)
            return
        self._appends_under_way += 1
        self._disk.submit(AppendJob(entries, state, must_sync, lambda: self._appended(message)))

    def _append_snapshot(
        self, message: Message, snapshot: Snapshot, state: HardState | None
    ) -> None:
        """Let a snapshot take the place of the log, on the disk and then in memory.

        The snapshot and the log's record of it come first: a commit index in the log that nothing
        before it reaches could not be started from.
        """

        def stored() -> None:
            if not self._stopped:
                try:
                    self._storage.apply_snapshot(snapshot)
                    self._restore(snapshot)
                except Exception as error:
                    self._end(error)
            self._saving.discard(snapshot.metadata.index)
            self._appended(message)

        self._appends_under_way += 2
        self._saving.add(snapshot.metadata.index)
        self._disk.submit(DiskJob(lambda: self._save_snapshot(snapshot), self._part_appended))
        self._disk.submit(AppendJob(message.entries, state, True, stored))

    def _part_appended(self) -> None:
        self._appends_under_way -= 1

    def _appended(self, message: Message) -> None:
        """On the loop: the writer has written `message`."""
        self._appends_under_way -= 1
        if self._stopped:
            return
        try:
            self._stored(message)
            if self._may_propose():
                # Before the core hands out what is to be applied: the next write starts first.
                self._propose_queued()
            self._drain()
        except Exception as error:
            self._end(error)

    def _stored(self, message: Message) -> None:
        """The entries of `message` are durable."""
        if message.entries:
            self._storage.append(message.entries)
        self._deliver(message.responses)

    def _deliver(self, messages: list[Message]) -> None:
        """Messages to this member itself go into the core, all others over the network."""
        own = self.raw.raft.id
        outgoing = []
        for message in messages:
            if message.to == own:
                self.raw.step(message)
            else:
                outgoing.append(message)
        if outgoing:
            self.transport.send(outgoing)


__all__ = ["IndexWaiter", "Node", "ProposalLimits", "Transport"]
