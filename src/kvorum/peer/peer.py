"""One other member: the ways to it and from it, and which message takes which.

    MsgApp          msgapp stream, else message stream, else POST
    MsgSnap         POST /raft/snapshot
    any other       message stream, else POST

Source: shared facts, peer.md section 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kvorum.errors import KvorumError
from kvorum.histogram import Histogram
from kvorum.peer.http import PeerHttpError
from kvorum.peer.messages import MessageEncoder
from kvorum.peer.msgapp import MsgAppEncoder
from kvorum.peer.options import LEGACY_BEFORE, PeerOptions
from kvorum.peer.posting import Pipeline
from kvorum.peer.probing import Prober
from kvorum.peer.reading import StreamKind, StreamReader
from kvorum.peer.snapshots import send_snapshot
from kvorum.peer.urls import UrlPicker
from kvorum.peer.writing import StreamWriter
from kvorum.proto.raftpb import Message, MessageType
from kvorum.proto.versions import Version
from kvorum.rpc.exchange import Exchange
from kvorum.server.clock import monotonic_s
from kvorum.server.log import Logger
from kvorum.server.metrics.families import TRANSFER_SECONDS
from kvorum.server.peer_ports import RaftPort, RemovedSenderError, WrongTargetError


class Remote:
    """A member that is only sent to, by POST: it is not in our log yet."""

    def __init__(
        self, member_id: int, urls: Sequence[str], port: RaftPort, options: PeerOptions, log: Logger
    ) -> None:
        self.id = member_id
        self.urls = UrlPicker(urls)
        self.failures = 0
        self.snapshot_failures = 0
        self.snapshots_s = Histogram(TRANSFER_SECONDS)
        """How long those took that were sent."""
        self._port = port
        self._options = options
        self._log = log
        self._snapshots: set[asyncio.Task[None]] = set()
        self.pipeline = Pipeline(
            self.urls, options, removed=port.removed_from_cluster, done=self._posted
        )

    def send(self, message: Message) -> None:
        """Send a message, or drop it and say so."""
        if message.type == MessageType.SNAP:
            self._send_snapshot(message)
        elif not self._take(message):
            self.failures += 1
            self._port.report_unreachable(self.id)

    def update(self, urls: Sequence[str]) -> None:
        self.urls.urls = tuple(urls)

    def stop(self) -> None:
        self.pipeline.stop()
        for task in self._snapshots:
            task.cancel()

    @property
    def snapshots_under_way(self) -> int:
        return len(self._snapshots)

    def _take(self, message: Message) -> bool:
        return self.pipeline.send(message)

    def _posted(self, error: PeerHttpError | None) -> None:
        """A POST has ended."""
        if error is not None:
            self.failures += 1
            self._port.report_unreachable(self.id)

    def _send_snapshot(self, message: Message) -> None:
        task = asyncio.ensure_future(self._run_snapshot(message))
        self._snapshots.add(task)
        task.add_done_callback(self._snapshots.discard)

    async def _run_snapshot(self, message: Message) -> None:
        port, fields = self._port, {"to": f"{self.id:x}"}
        assert message.snapshot is not None
        index, begun_s = message.snapshot.metadata.index, monotonic_s()
        self._log.info("sending database snapshot", snapshot_index=index, **fields)
        try:
            size_bytes = await send_snapshot(
                message, self.urls, self._options, port, port.removed_from_cluster
            )
        except Exception as error:
            self.snapshot_failures += 1
            self._log.warn(
                "failed to send database snapshot", snapshot_index=index, error=error, **fields
            )
            port.report_unreachable(self.id)
            port.report_snapshot(self.id, ok=False)
        else:
            self.snapshots_s.observe(monotonic_s() - begun_s)
            self._log.info(
                "sent database snapshot", snapshot_index=index, bytes=size_bytes, **fields
            )
            port.report_snapshot(self.id, ok=True)


class Peer(Remote):
    """A member of our cluster."""

    def __init__(
        self, member_id: int, urls: Sequence[str], port: RaftPort, options: PeerOptions, log: Logger
    ) -> None:
        super().__init__(member_id, urls, port, options, log)
        self.received_count = 0
        self.disconnects = 0
        self.active_since: float | None = None
        self._told_ignored: set[int] = set()
        """Kinds of messages that were ignored since a stream changed last, which the log tells."""
        self._writers: dict[StreamKind, StreamWriter] = {}
        self._readers = [
            StreamReader(
                kind,
                member_id,
                self.urls,
                options,
                process=self._process,
                removed=port.removed_from_cluster,
                changed=self._streams_changed,
                log=log,
            )
            for kind in StreamKind
        ]
        self.prober = Prober(member_id, self.urls, options, log)

    def attach(self, kind: StreamKind, exchange: Exchange, version: Version) -> StreamWriter:
        """Use a stream that the peer has opened; it takes the place of an older one."""
        legacy = version[:2] < LEGACY_BEFORE[:2]
        encoder: MessageEncoder | MsgAppEncoder = MessageEncoder(legacy=legacy)
        if kind is StreamKind.MSGAPP:
            encoder = MsgAppEncoder(legacy=legacy)
        older = self._writers.pop(kind, None)
        if older is not None:
            older.close()
        writer = StreamWriter(exchange, encoder, self._options, self._detached)
        self._writers[kind] = writer
        return writer

    def stop(self) -> None:
        super().stop()
        self.prober.stop()
        for reader in self._readers:
            reader.stop()
        for writer in list(self._writers.values()):
            writer.close()

    @property
    def is_active(self) -> bool:
        """Whether both streams from the peer are up."""
        return self.active_since is not None

    @property
    def received_bytes(self) -> int:
        return sum(reader.received_bytes for reader in self._readers)

    def _take(self, message: Message) -> bool:
        writers = self._writers
        writer = None
        if message.type == MessageType.APP:
            writer = writers.get(StreamKind.MSGAPP)
        if writer is None:
            writer = writers.get(StreamKind.MESSAGE)
        return self.pipeline.send(message) if writer is None else writer.send(message)

    def _detached(self, writer: StreamWriter) -> None:
        for kind, one in list(self._writers.items()):
            if one is writer:
                del self._writers[kind]

    def _process(self, message: Message) -> None:
        self.received_count += 1
        try:
            self._port.process(message)
        except (RemovedSenderError, WrongTargetError, KvorumError) as error:
            if message.type not in self._told_ignored:
                self._told_ignored.add(message.type)  # a peer may send thousands of them a second
                self._log.warn(
                    "ignored a raft message", raft_message=repr(message), error=repr(error)
                )

    def _streams_changed(self) -> None:
        self._told_ignored.clear()
        if not all(reader.is_up for reader in self._readers):
            self._set_inactive("a stream is down")
        elif self.active_since is None:
            self.active_since = monotonic_s()
            self._log.info("peer became active", peer_id=f"{self.id:x}")

    def _posted(self, error: PeerHttpError | None) -> None:
        super()._posted(error)
        if error is not None:
            self._set_inactive(str(error))

    def _set_inactive(self, reason: str) -> None:
        if self.active_since is not None:
            self.active_since = None
            self.disconnects += 1
            self._port.report_disconnected(self.id)
            self._log.warn(
                "peer became inactive (message send to peer failed)",
                peer_id=f"{self.id:x}",
                error=reason,
            )
