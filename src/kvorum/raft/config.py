"""What a member of the core is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from kvorum.errors import ConfigError
from kvorum.raft.sizes import NO_LIMIT
from kvorum.raft.storage import Storage
from kvorum.raft.trace import Trace

NOBODY: Final = 0
"""No member has this id."""

APPEND_THREAD: Final = 2**64 - 1
"""Where MsgStorageAppend goes, and where its MsgStorageAppendResp comes from."""

APPLY_THREAD: Final = 2**64 - 2
"""Where MsgStorageApply goes, and where its MsgStorageApplyResp comes from."""

MIB: Final = 1024 * 1024


class Rng(Protocol):
    """The randomness that the core needs; `random.Random` has it."""

    def randrange(self, start: int, stop: int, /) -> int:
        """A number of `[start, stop)`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Identity, timing, limits and options of one member.

    Attributes:
        id: this member; neither 0 nor one of the two local threads.
        election_tick: ticks without a leader's message after which a follower may campaign; the
            real timeout is drawn from `[election_tick, 2 * election_tick)`.
        heartbeat_tick: ticks between two heartbeats of a leader; less than `election_tick`.
        storage: what the member had stored.
        rng: draws the election timeouts.
        applied: the newest entry that the state machine has; entries up to it do not come again.
        max_size_per_msg: encoded bytes of entries in one MsgApp. One entry is always sent.
        max_committed_size_per_ready: encoded bytes of committed entries that may be out to be
            applied; None takes `max_size_per_msg`.
        max_uncommitted_entries_size: payload bytes that a leader holds uncommitted before it
            refuses proposals. One proposal is always taken when nothing waits.
        max_inflight_msgs: unanswered MsgApps with entries to one peer.
        max_inflight_bytes: payload bytes in them; at least `max_size_per_msg`. The stream pauses
            when it is reached, so it may be passed by one message.
        check_quorum: a leader that has not heard a quorum for an election timeout steps down, and
            votes are withheld while a leader has been heard.
        pre_vote: ask whether an election could be won before the term is raised.
        read_only_lease_based: answer reads from the leader's lease instead of a round of
            heartbeats. Depends on clocks; needs `check_quorum`.
        disable_proposal_forwarding: a follower drops proposals instead of sending them on.
        async_storage_writes: storing and applying are asked for by messages (see `ready`).
        step_down_on_removal: a leader that is removed or made a learner becomes a follower.
        disable_conf_change_validation: take every configuration change into the log.
        trace: told what happens.

    Raises:
        ConfigError: a value cannot be.
    """

    id: int
    election_tick: int
    heartbeat_tick: int
    storage: Storage
    rng: Rng
    applied: int = 0
    max_size_per_msg: int = MIB
    max_committed_size_per_ready: int | None = None
    max_uncommitted_entries_size: int = NO_LIMIT
    max_inflight_msgs: int = 512
    max_inflight_bytes: int = NO_LIMIT
    check_quorum: bool = False
    pre_vote: bool = False
    read_only_lease_based: bool = False
    disable_proposal_forwarding: bool = False
    async_storage_writes: bool = False
    step_down_on_removal: bool = False
    disable_conf_change_validation: bool = False
    trace: Trace | None = None

    def __post_init__(self) -> None:
        if not 0 < self.id < APPLY_THREAD:
            raise ConfigError(f"raft: id {self.id} is not one a member can have")
        if self.heartbeat_tick <= 0:
            raise ConfigError(f"raft: heartbeat_tick {self.heartbeat_tick} must be above 0")
        if self.election_tick <= self.heartbeat_tick:
            raise ConfigError(
                f"raft: election_tick {self.election_tick} must be above "
                f"heartbeat_tick {self.heartbeat_tick}"
            )
        if self.max_uncommitted_entries_size <= 0:
            raise ConfigError(
                f"raft: max_uncommitted_entries_size {self.max_uncommitted_entries_size} "
                "must be above 0"
            )
        if self.max_inflight_msgs <= 0:
            raise ConfigError(f"raft: max_inflight_msgs {self.max_inflight_msgs} must be above 0")
        if self.max_inflight_bytes < self.max_size_per_msg:
            raise ConfigError(
                f"raft: max_inflight_bytes {self.max_inflight_bytes} must not be below "
                f"max_size_per_msg {self.max_size_per_msg}"
            )
        if self.read_only_lease_based and not self.check_quorum:
            raise ConfigError("raft: read_only_lease_based needs check_quorum")

    @property
    def apply_bytes_max(self) -> int:
        """The limit on committed entries out to be applied."""
        if self.max_committed_size_per_ready is None:
            return self.max_size_per_msg
        return self.max_committed_size_per_ready
