"""What the peer protocol may ask of a member: all that `peer` knows of it are these Protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from kvorum.proto.raftpb import Message
from kvorum.server.ports import LeaseLife


class RemovedSenderError(Exception):
    """A message comes from a member that was removed from the cluster."""


class WrongTargetError(Exception):
    """A message is for another member."""


class PeerError(Exception):
    """Another member could not be asked, or did not do what it was asked. The text says why."""


class PeerRefusedError(PeerError):
    """Another member answered, with an HTTP status that is an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class SnapshotBytes(Protocol):
    """A database on its way to another member."""

    message: Message
    """What to send before it: the message that was asked for, at the index of this database."""
    size_bytes: int

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class RaftPort(Protocol):
    """Messages of raft, and what becomes of them."""

    def process(self, message: Message) -> None:
        """Take a message of another member.

        Raises:
            RemovedSenderError, WrongTargetError: it is not for this member to take.
        """
        ...

    def is_removed(self, member_id: int) -> bool: ...
    def is_member(self, member_id: int) -> bool: ...
    def report_unreachable(self, member_id: int) -> None:
        """A message to this member was lost."""
        ...

    def report_disconnected(self, member_id: int) -> None:
        """The connection to this member broke."""
        ...

    def report_snapshot(self, member_id: int, *, ok: bool) -> None:
        """Whether a snapshot has arrived at this member."""
        ...

    def removed_from_cluster(self) -> None:
        """Another member says that this one was removed: it stops."""
        ...

    def snapshot_bytes(self, message: Message) -> AbstractAsyncContextManager[SnapshotBytes]:
        """The database that belongs to a message with a snapshot, in bbolt's format."""
        ...

    async def receive_snapshot(self, message: Message, path: str) -> None:
        """Take a snapshot whose database has come whole, as the file `path`; it is moved away.

        Raises:
            RemovedSenderError, WrongTargetError
            OSError, CorruptionError: it cannot be kept, or it is not what it should be.
        """
        ...

    def snapshot_folder(self) -> str:
        """Where the database of a snapshot is put while it comes."""
        ...


class PeerInfoPort(Protocol):
    """What one member asks another besides raft."""

    def members(self) -> list[dict[str, Any]]: ...
    def versions(self) -> dict[str, str]: ...
    def downgrade_enabled(self) -> bool: ...

    async def promote(self, member_id: int) -> None:
        """Make a learner a voter; a member that does not lead asks the one that does."""
        ...

    async def hash_kv_here(self, revision: int) -> tuple[int, int, int, int]:
        """Current revision, hash, compaction revision, revision that was hashed."""
        ...

    async def lease_renew_here(self, lease_id: int) -> int:
        """Renew a lease; this member must lead. Returns the TTL in seconds.

        Raises:
            LeaseNotFoundError, NotLeaderError
        """
        ...

    async def lease_time_to_live_here(self, lease_id: int, *, with_keys: bool) -> LeaseLife:
        """What is left of a lease; this member must lead."""
        ...


class PeerTransportPort(Protocol):
    """What the server asks of the peer protocol."""

    def send(self, messages: list[Message]) -> None: ...
    def add_peer(self, member_id: int, urls: Sequence[str]) -> None: ...
    def add_remote(self, member_id: int, urls: Sequence[str]) -> None:
        """A member that is not known by the log yet: only sent to."""
        ...

    def update_peer(self, member_id: int, urls: Sequence[str]) -> None: ...
    def remove_peer(self, member_id: int) -> None: ...
    def active_since(self, member_id: int) -> float | None:
        """Since when the member has been connected, by the monotonic clock; None: it is not."""
        ...

    def stop(self) -> None: ...


class NoPeers:
    """The transport of a member that is alone."""

    def send(self, messages: list[Message]) -> None:
        assert not messages, messages

    def add_peer(self, member_id: int, urls: Sequence[str]) -> None:
        """There is no way to one."""

    add_remote = update_peer = add_peer

    def remove_peer(self, member_id: int) -> None:
        """There was none."""

    def active_since(self, member_id: int) -> float | None:
        return None

    def stop(self) -> None:
        """There is nothing to stop."""


class PeerQueriesPort(Protocol):
    """Questions to other members, at any of their peer URLs. All raise `PeerError`."""

    async def members(self, urls: Sequence[str]) -> tuple[int, list[dict[str, Any]]]: ...
    async def versions(self, urls: Sequence[str]) -> dict[str, str]: ...
    async def downgrade_enabled(self, urls: Sequence[str]) -> bool: ...
    async def promote(self, urls: Sequence[str], member_id: int) -> None: ...
    async def hash_kv(self, urls: Sequence[str], revision: int) -> dict[str, Any]: ...
    async def lease_renew(self, urls: Sequence[str], lease_id: int) -> int: ...
    async def lease_time_to_live(
        self, urls: Sequence[str], lease_id: int, *, with_keys: bool
    ) -> LeaseLife: ...
    def close(self) -> None:
        """Ask nothing more."""
        ...


class Network(Protocol):
    """How a server gets its ways to the other members."""

    @property
    def queries(self) -> PeerQueriesPort: ...

    def connect(self, port: RaftPort) -> PeerTransportPort:
        """The transport that feeds `port`."""
        ...
