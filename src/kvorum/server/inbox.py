"""What other members send to this one, and what it sends them of its database.

Source: shared facts, peer.md sections 2 and 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from kvorum.cluster.ids import hex_id
from kvorum.cluster.members import Cluster
from kvorum.proto.raftpb import Message, Snapshot, SnapshotMetadata
from kvorum.server.log import Logger
from kvorum.server.node import Node
from kvorum.server.peer_ports import RemovedSenderError, WrongTargetError
from kvorum.server.receiving import SnapshotReceiver
from kvorum.server.snapshot_sending import SnapshotSource, SnapshotSources
from kvorum.server.stored_state import decode_conf_state

LOG_HELD_S: Final = 30.0
"""How long the log is kept after a snapshot was sent, for its receiver to go on from there. Source:
etcd (releaseDelayAfterSnapshot)."""


class OutgoingSnapshot:
    """A database on its way; see `SnapshotBytes`."""

    def __init__(self, source: SnapshotSource, message: Message) -> None:
        self._source = source
        self.message = message
        self.size_bytes = source.size_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._source.read():
            yield piece


class Inbox:
    """See the module; it is the server's `RaftPort`.

    Args:
        removed: called when another member says that this one was removed.
    """

    def __init__(
        self,
        member_id: int,
        cluster: Cluster,
        node: Node,
        sources: SnapshotSources,
        receiver: SnapshotReceiver,
        *,
        folder: Path,
        removed: Callable[[], None],
        log: Logger,
    ) -> None:
        self.member_id = member_id
        self.cluster_id = cluster.id
        self._cluster = cluster
        self._node = node
        self._sources = sources
        self._receiver = receiver
        self._folder = folder
        self._removed = removed
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._receiving = asyncio.Lock()
        self._sending = 0
        self._held_until_s = 0.0

    # What comes.

    def process(self, message: Message) -> None:
        self._check(message)
        self._node.step(message)

    def _check(self, message: Message) -> None:
        if self._cluster.is_removed(message.from_):
            self._log.warn(
                "rejected Raft message from removed member",
                removed_member_id=hex_id(message.from_),
            )
            raise RemovedSenderError
        if message.to != self.member_id:
            raise WrongTargetError

    def is_removed(self, member_id: int) -> bool:
        return self._cluster.is_removed(member_id)

    def is_member(self, member_id: int) -> bool:
        return self._cluster.member(member_id) is not None

    def report_unreachable(self, member_id: int) -> None:
        self._node.report_unreachable(member_id)

    def report_disconnected(self, member_id: int) -> None:
        self._node.report_disconnected(member_id)

    def report_snapshot(self, member_id: int, *, ok: bool) -> None:
        self._node.report_snapshot(member_id, ok=ok)

    def removed_from_cluster(self) -> None:
        self._removed()

    # Snapshots.

    def snapshot_folder(self) -> str:
        return str(self._folder)

    async def receive_snapshot(self, message: Message, path: str) -> None:
        self._check(message)
        assert message.snapshot is not None
        index = message.snapshot.metadata.index
        # One after the other: two leaders may send the same one.
        async with self._receiving:
            if index > self._node.raw.committed:
                await self._receiver.take(Path(path), index)
            self._node.step(message)
            self._receiver.forget_unused(self._node.snapshots_under_way())

    @asynccontextmanager
    async def snapshot_bytes(self, message: Message) -> AsyncIterator[OutgoingSnapshot]:
        """The newest database, and the message brought up to it.

        Raft asked for the snapshot that it knows of, whose database is gone: a newer one serves as
        well, as long as the message says which one it is.
        """
        self._sending += 1
        try:
            source = await self._sources.open()
            try:
                yield OutgoingSnapshot(source, _at(source, message))
            finally:
                await source.close()
        finally:
            self._sending -= 1
            self._held_until_s = self._loop.time() + LOG_HELD_S

    def holds_log(self) -> bool:
        """Whether the log must stay as it is, for a member that is being brought up."""
        return self._sending > 0 or self._loop.time() < self._held_until_s


def _at(source: SnapshotSource, message: Message) -> Message:
    """`message`, with the snapshot that `source` gives."""
    metadata = SnapshotMetadata(
        decode_conf_state(source.conf_state), source.consistent_index, source.term
    )
    return Message(
        type=message.type,
        to=message.to,
        from_=message.from_,
        term=message.term,
        snapshot=Snapshot(source.membership, metadata),
    )
