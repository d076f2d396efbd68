"""What a member tells about itself to those who watch it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvorum.raft.membership import Configuration
from kvorum.raft.progress import Progress, ProgressState
from kvorum.raft.ready import StateRole

if TYPE_CHECKING:
    from kvorum.raft.core import Raft


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressStatus:
    """A leader's view of one member. Fields as in `Progress`; `inflight_count` in messages."""

    state: ProgressState
    match: int
    next: int
    is_learner: bool
    paused: bool
    pending_snapshot: int
    recent_active: bool
    inflight_count: int
    inflight_bytes: int
    inflight_full: bool

    @classmethod
    def of(cls, progress: Progress) -> ProgressStatus:
        return cls(
            state=progress.state,
            match=progress.match,
            next=progress.next,
            is_learner=progress.is_learner,
            paused=progress.paused,
            pending_snapshot=progress.pending_snapshot,
            recent_active=progress.recent_active,
            inflight_count=len(progress.inflights),
            inflight_bytes=progress.inflights.bytes_total,
            inflight_full=progress.inflights.full,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A copy: it does not change with the member. `progress` is empty but at a leader."""

    id: int
    term: int
    vote: int
    committed: int
    applied: int
    last_index: int
    lead: int
    role: StateRole
    lead_transferee: int
    is_learner: bool
    configuration: Configuration
    progress: dict[int, ProgressStatus]

    @classmethod
    def of(cls, raft: Raft) -> Status:
        progress = {}
        if raft.role is StateRole.LEADER:
            progress = {
                member: ProgressStatus.of(known) for member, known in raft.tracker.progress.items()
            }
        return cls(
            id=raft.id,
            term=raft.term,
            vote=raft.vote,
            committed=raft.log.committed,
            applied=raft.log.applied,
            last_index=raft.log.last_index,
            lead=raft.lead,
            role=raft.role,
            lead_transferee=raft.lead_transferee,
            is_learner=raft.is_learner,
            configuration=raft.tracker.config,
            progress=progress,
        )
