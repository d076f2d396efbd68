"""The consensus core: Raft with etcd's messages, as a pure library.

No I/O, no clock, no threads, no randomness of its own. `RawNode` takes ticks, messages and
proposals and gives `Ready`; the module `ready` numbers the duties of whoever drives it.
"""

from kvorum.raft.config import APPEND_THREAD, APPLY_THREAD, NOBODY, Config, Rng
from kvorum.raft.errors import (
    CompactedLogError,
    ConfChangeError,
    DropReason,
    LocalMessageError,
    LogDamagedError,
    MalformedMessageError,
    PeerNotFoundError,
    ProposalDroppedError,
    RaftError,
    SnapshotOutOfDateError,
    SnapshotTemporarilyUnavailableError,
    UnavailableLogError,
)
from kvorum.raft.membership import Configuration
from kvorum.raft.progress import ProgressState
from kvorum.raft.rawnode import RawNode
from kvorum.raft.ready import ReadState, Ready, SoftState, StateRole
from kvorum.raft.sizes import NO_LIMIT, limit_bytes
from kvorum.raft.status import ProgressStatus, Status
from kvorum.raft.storage import MemoryStorage, Storage
from kvorum.raft.trace import Trace, TraceEvent, TraceKind

__all__ = [
    "APPEND_THREAD",
    "APPLY_THREAD",
    "NOBODY",
    "NO_LIMIT",
    "CompactedLogError",
    "ConfChangeError",
    "Config",
    "Configuration",
    "DropReason",
    "LocalMessageError",
    "LogDamagedError",
    "MalformedMessageError",
    "MemoryStorage",
    "PeerNotFoundError",
    "ProgressState",
    "ProgressStatus",
    "ProposalDroppedError",
    "RaftError",
    "RawNode",
    "ReadState",
    "Ready",
    "Rng",
    "SnapshotOutOfDateError",
    "SnapshotTemporarilyUnavailableError",
    "SoftState",
    "StateRole",
    "Status",
    "Storage",
    "Trace",
    "TraceEvent",
    "TraceKind",
    "UnavailableLogError",
    "limit_bytes",
]
