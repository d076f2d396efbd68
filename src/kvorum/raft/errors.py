"""What the consensus core refuses, and why.

Every class is a `KvorumError`. A broken invariant of the core itself is an `AssertionError`: it
must end the member and is caught nowhere.
"""

from __future__ import annotations

from enum import StrEnum

from kvorum.errors import KvorumError


class RaftError(KvorumError):
    """Base of the core's own errors. `text` is what etcd's core says in the same case."""

    text = "raft: refused"

    def __init__(self, text: str | None = None) -> None:
        super().__init__(self.text if text is None else text)


class DropReason(StrEnum):
    """Why a proposal was not taken."""

    NO_LEADER = "no leader is known"
    CAMPAIGNING = "an election is under way"
    FORWARDING_DISABLED = "proposals are not forwarded to the leader"
    TRANSFERRING = "leadership is being transferred"
    REMOVED = "the leader is no member of the configuration any more"
    UNCOMMITTED_SIZE = "too many bytes wait to be committed"
    MALFORMED = "an entry is not one that can be proposed"


class ProposalDroppedError(RaftError):
    """The proposal was not appended and not forwarded: nothing happened, a retry is safe."""

    text = "raft proposal dropped"

    def __init__(self, reason: DropReason) -> None:
        super().__init__()
        self.reason = reason


class PeerNotFoundError(RaftError):
    """A response came from a member that is not in the configuration. It was ignored."""

    text = "raft: cannot step as peer not found"


class LocalMessageError(RaftError):
    """A message of a type that never leaves a member came from another one. It was ignored."""

    text = "raft: cannot step raft local message"


class MalformedMessageError(RaftError):
    """A peer's message contradicts itself. It was ignored."""


class ConfChangeError(RaftError):
    """The configuration cannot be changed so. It is as it was, on every member alike."""


class LogDamagedError(RaftError):
    """The member's log is not what the cluster knows of it. It must stop and be replaced."""


class CompactedLogError(RaftError):
    """The index asked for is below the first one that the storage still has."""

    text = "requested index is unavailable due to compaction"


class UnavailableLogError(RaftError):
    """The index asked for is above the last one that the storage has."""

    text = "requested entry at index is unavailable"


class SnapshotTemporarilyUnavailableError(RaftError):
    """The storage is still preparing a snapshot; the core asks again later."""

    text = "snapshot is temporarily unavailable"


class SnapshotOutOfDateError(RaftError):
    """The snapshot is not newer than the one that the storage has."""

    text = "requested index is older than the existing snapshot"
