"""Events of the core, for logs, metrics and tests.

The core does not log. Whoever wants to know hands a callback to `Config.trace`; it is called on the
driving thread, in the middle of a step, and must neither call back into the core nor raise.
Nothing on the path of a proposal makes an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class TraceKind(StrEnum):
    """What happened. The details that come with each are named behind it."""

    BECAME_FOLLOWER = "became-follower"  # lead
    BECAME_PRE_CANDIDATE = "became-pre-candidate"
    BECAME_CANDIDATE = "became-candidate"
    BECAME_LEADER = "became-leader"
    CAMPAIGN_STARTED = "campaign-started"  # campaign
    CAMPAIGN_REFUSED = "campaign-refused"  # reason
    VOTE_GRANTED = "vote-granted"  # to, type, log_term, index
    VOTE_REFUSED = "vote-refused"  # to, type, log_term, index
    VOTE_IGNORED = "vote-ignored"  # from, type; the leader's lease has not run out
    VOTE_COUNTED = "vote-counted"  # from, granted, granted_count, refused_count
    HIGHER_TERM_SEEN = "higher-term-seen"  # from, type, message_term
    MESSAGE_IGNORED = "message-ignored"  # from, type, reason
    QUORUM_LOST = "quorum-lost"  # a leader stepped down
    LEADER_FORGOTTEN = "leader-forgotten"  # lead
    FORGET_LEADER_REFUSED = "forget-leader-refused"
    LOG_CONFLICT = "log-conflict"  # index, term, existing_term
    APPEND_REFUSED = "append-refused"  # from, index, log_term, hint
    PROGRESS_REGRESSED = "progress-regressed"  # peer, next
    PEER_UNREACHABLE = "peer-unreachable"  # peer
    SNAPSHOT_SENT = "snapshot-sent"  # to, index, snapshot_term
    SNAPSHOT_UNAVAILABLE = "snapshot-unavailable"  # to
    SNAPSHOT_REPORTED = "snapshot-reported"  # peer, ok
    SNAPSHOT_CAUGHT_UP = "snapshot-caught-up"  # peer, match
    SNAPSHOT_RESTORED = "snapshot-restored"  # index, snapshot_term
    SNAPSHOT_IGNORED = "snapshot-ignored"  # index, reason
    CONFIG_SWITCHED = "config-switched"  # configuration
    CONF_CHANGE_REFUSED = "conf-change-refused"  # reason
    AUTO_LEAVE_STARTED = "auto-leave-started"
    TRANSFER_STARTED = "transfer-started"  # to
    TRANSFER_ABORTED = "transfer-aborted"  # to
    TIMEOUT_NOW_SENT = "timeout-now-sent"  # to
    READ_DROPPED = "read-dropped"  # from, reason


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event at member `id`, whose term was `term` when it happened."""

    kind: TraceKind
    id: int
    term: int
    details: dict[str, Any]


Trace = Callable[[TraceEvent], None]
