"""Applies committed entries, in order, and answers those who wait for them.

Source: shared facts, peer.md section 7; disk.md section 5 (consistent index).
"""

from __future__ import annotations

from collections.abc import Callable

from kvorum.cluster.members import Cluster
from kvorum.errors import DecodeError, WireError
from kvorum.proto.raftpb import ConfChange, ConfState, Entry, EntryType
from kvorum.server import entries
from kvorum.server.applier import Applier
from kvorum.server.opening import encode_conf_state
from kvorum.server.proposals import Proposals
from kvorum.server.snapshots import Snapshotter
from kvorum.storage import Backend, CommitFailedError
from kvorum.storage.buckets import CONF_STATE, CONSISTENT_INDEX, META, TERM


class ApplyLoop:
    """Gets every committed entry once.

    Args:
        applier: what an entry does.
        proposals: who waits.
        cluster: changed by configuration entries.
        conf_changed: takes a configuration change into the core, and tells the result.
        snapshotter: told how far we are.
        backend: where the consistent index goes.
    """

    def __init__(
        self,
        applier: Applier,
        proposals: Proposals,
        cluster: Cluster,
        conf_changed: Callable[[ConfChange], ConfState],
        snapshotter: Snapshotter,
        backend: Backend,
    ) -> None:
        self._applier = applier
        self._proposals = proposals
        self._cluster = cluster
        self._conf_changed = conf_changed
        self._snapshotter = snapshotter
        self._backend = backend
        self._term = 0
        self._in_batch = False
        backend.before_commit = self._before_commit

    def apply(self, batch: list[Entry]) -> None:
        """Apply a batch. The hot path of a write."""
        proposals = self._proposals
        pop = proposals.pending.pop
        assert batch[0].index == proposals.applied_index + 1, (batch[0], proposals.applied_index)
        self._in_batch = True
        for entry in batch:
            data = entry.data
            if entry.type != EntryType.NORMAL:
                self._apply_conf_change(entry)
            elif data:
                pending = pop(data, None)
                if pending is None:
                    self._apply_foreign(data)
                    continue
                future = pending.future
                try:
                    response = pending.method(pending.request)
                except WireError as error:
                    if not future.done():
                        future.set_exception(error)
                else:
                    if not future.done():
                        future.set_result(response)
        self._term = batch[-1].term
        proposals.note_applied(batch[-1].index)
        self._in_batch = False
        # Before the commit: the transaction that covers this batch is then the snapshot's.
        self._snapshotter.applied(batch[-1].index)
        self._backend.maybe_commit_nowait()

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
            self._cluster.validate(change)
        except (WireError, DecodeError):
            change = ConfChange(change.id, change.type, 0)  # refused: raft goes through a no-op
        else:
            self._cluster.apply(change)
        state = self._conf_changed(change)
        self._snapshotter.conf_state = state
        self._backend.put(META, CONF_STATE, encode_conf_state(state))

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
