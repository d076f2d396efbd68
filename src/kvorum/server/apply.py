"""Applies committed entries, in order, and answers those who wait for them.

Source: shared facts, peer.md section 7; disk.md section 5 (consistent index).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvorum.cluster.member import Member
from kvorum.cluster.members import Cluster
from kvorum.errors import CompactedError, DecodeError, WireError
from kvorum.proto.raftpb import ConfChange, ConfState, Entry, EntryType
from kvorum.raft import ConfChangeError
from kvorum.server import entries
from kvorum.server.applier import Applier
from kvorum.server.clock import monotonic_s
from kvorum.server.metrics.counters import MemberCounters
from kvorum.server.proposals import Proposals
from kvorum.server.slow import SlowRequests
from kvorum.server.snapshots import Snapshotter
from kvorum.server.stored_state import encode_conf_state
from kvorum.storage import Backend, CommitFailedError
from kvorum.storage.buckets import CONF_STATE, CONSISTENT_INDEX, META, TERM


class ApplyLoop:
    """Gets every committed entry once.

    Args:
        applier: what an entry does.
        proposals: who waits.
        cluster: changed by configuration entries.
        conf_changed: takes a configuration change into the core, and tells the result.
        conf_applied: told of each change, how the member was before, and why it was refused, if it
            was.
        snapshotter: told how far we are.
        backend: where the consistent index goes.
        counters: how long entries took.
        slow: told of those that took too long.
    """

    def __init__(
        self,
        applier: Applier,
        proposals: Proposals,
        cluster: Cluster,
        conf_changed: Callable[[ConfChange], ConfState],
        conf_applied: Callable[[ConfChange, Member | None, Exception | None], None],
        snapshotter: Snapshotter,
        backend: Backend,
        counters: MemberCounters,
        slow: SlowRequests,
    ) -> None:
        self._applier = applier
        self._proposals = proposals
        self._cluster = cluster
        self._conf_changed = conf_changed
        self._conf_applied = conf_applied
        self._snapshotter = snapshotter
        self._backend = backend
        self._counters = counters
        self._slow = slow
        self._term = 0
        self._in_batch = False
        backend.before_commit = self._before_commit

    def apply(self, batch: list[Entry]) -> None:
        """Apply a batch. The hot path of a write."""
        proposals = self._proposals
        pop = proposals.pending.pop
        applied, limit_s = self._counters.applied, self._slow.limit_s
        assert batch[0].index == proposals.applied_index + 1, (batch[0], proposals.applied_index)
        self._in_batch = True
        now_s = monotonic_s()  # the end of one entry is the beginning of the next
        for entry in batch:
            data = entry.data
            if entry.type != EntryType.NORMAL:
                self._apply_conf_change(entry)
                now_s = monotonic_s()
            elif data:
                pending = pop(data, None)
                if pending is None:
                    now_s = self._apply_foreign(data, now_s)
                    continue
                future, request = pending.future, pending.request
                begun_s = now_s
                try:
                    response = pending.method(request)
                except WireError as error:
                    now_s = self._refused(data, request, error, begun_s)
                    if not future.done():
                        future.set_exception(error)
                else:
                    now_s = monotonic_s()
                    applied[request.__class__].observe(now_s - begun_s)
                    if now_s - begun_s > limit_s:
                        self._slow.applied(now_s - begun_s, data, response)
                    if not future.done():
                        future.set_result(response)
        self._term = batch[-1].term
        proposals.note_applied(batch[-1].index)
        self._in_batch = False
        # Before the commit: the transaction that covers this batch is then the snapshot's.
        self._snapshotter.applied(batch[-1].index)
        self._backend.maybe_commit_nowait()

    def restored(self, term: int) -> None:
        """A leader's snapshot has taken the place of the state; its last entry is of `term`."""
        self._term = term

    def _apply_foreign(self, data: bytes, begun_s: float) -> float:
        """Apply an entry that nobody here waits for: another member's, or an old one of ours.

        Returns:
            The time when that was done.
        """
        method, request = self._applier.method(entries.decode(data))
        try:
            response = method(request)
        except WireError as error:
            # It was refused when it was first applied, too.
            return self._refused(data, request, error, begun_s)
        now_s = monotonic_s()
        self._counters.applied[request.__class__].observe(now_s - begun_s)
        if now_s - begun_s > self._slow.limit_s:
            self._slow.applied(now_s - begun_s, data, response)
        return now_s

    def _refused(self, data: bytes, request: Any, error: WireError, begun_s: float) -> float:
        """Count a request that an error was the answer to. Returns the time now."""
        now_s = monotonic_s()
        counters = self._counters
        # To find the revisions gone already is what a compaction wanted. Source: 3.5.
        times = counters.applied if isinstance(error, CompactedError) else counters.refused
        times[request.__class__].observe(now_s - begun_s)
        if now_s - begun_s > self._slow.limit_s:
            self._slow.applied(now_s - begun_s, data, error)
        return now_s

    def _apply_conf_change(self, entry: Entry) -> None:
        change = ConfChange.decode(entry.data or b"")
        before = self._cluster.member(change.node_id)
        refusal: Exception | None = None
        try:
            self._cluster.validate(change)
            state = self._conf_changed(change)
        except (WireError, DecodeError, ConfChangeError) as error:
            # On every member alike. Raft has to go through it all the same, as through a no-op.
            refusal = error
            state = self._conf_changed(ConfChange(change.id, change.type, 0))
        else:
            self._cluster.apply(change)
        self._snapshotter.conf_state = state
        self._backend.put(META, CONF_STATE, encode_conf_state(state))
        self._conf_applied(change, before, refusal)

    def _before_commit(self, backend: Backend) -> None:
        """How far the changes in this transaction go, in the same transaction."""
        if self._in_batch:
            # Apply broke off and the member is ending. A part of a batch, without the index that
            # covers it, would be applied again by the next start.
            raise CommitFailedError("the newest changes are left to the log: apply broke off")
        index = self._proposals.applied_index
        if index:
            backend.put(META, CONSISTENT_INDEX, index.to_bytes(8, "big"))
        if self._term:
            backend.put(META, TERM, self._term.to_bytes(8, "big"))
        self._snapshotter.sealing(index, self._term, self._cluster)
