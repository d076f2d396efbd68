"""The peer port: everything that other members ask of this one, by HTTP/1.1.

Source: shared facts, peer.md sections 1 and 2 (status, texts and their order checked there).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from kvorum.cluster.urls import check_urls
from kvorum.errors import ConfigError, DecodeError
from kvorum.peer.bodies import (
    MESSAGE_BODY_BYTES_MAX,
    BodyReceiver,
    SnapshotBody,
    StreamBody,
)
from kvorum.peer.checks import (
    NOT_FOUND,
    WRONG_CLUSTER,
    check_sender,
    method_not_allowed,
    parse_hex_id,
    refusal,
    version_in,
)
from kvorum.peer.information import InformationService
from kvorum.peer.metrics import PeerFigures
from kvorum.peer.posting import RAFT_PATH
from kvorum.peer.probing import PROBING_PATH
from kvorum.peer.reading import StreamKind
from kvorum.peer.snapshots import SNAPSHOT_PATH, SnapshotReceiver
from kvorum.peer.transport import PeerTransport
from kvorum.proto.raftpb import Message
from kvorum.rpc.exchange import Exchange, FixedReceiver
from kvorum.rpc.http import JSON, TEXT, HttpRequest, HttpResponse
from kvorum.rpc.http2.streams import Receiver
from kvorum.server.clock import monotonic_s
from kvorum.server.log import Logger
from kvorum.server.peer_ports import (
    PeerInfoPort,
    RaftPort,
    RemovedSenderError,
    WrongTargetError,
)

STREAM_PATH: Final = "/raft/stream/"
TOLD_REFUSED_MAX: Final = 64
TAKEN: Final = HttpResponse(204, b"", "")


class PeerService:
    """Answers requests on the peer port; see `kvorum.rpc.front.PathService`."""

    def __init__(
        self, transport: PeerTransport, port: RaftPort, info: PeerInfoPort, log: Logger
    ) -> None:
        self._transport = transport
        self._options = transport.options
        self._port = port
        self._log = log
        self.figures = PeerFigures()
        self._information = InformationService(info, self._options, log)
        self._told_refused: set[str] = set()
        """Senders whose refusal the log has told, since they were last let in."""

    def covers(self, request: HttpRequest) -> bool:
        """Nobody else answers on the peer port."""
        return True

    def open(self, request: HttpRequest, exchange: Exchange) -> Receiver:
        path = request.path
        if path == RAFT_PATH:
            return self._checked(request, exchange, "POST", self._open_raft)
        if path_is_stream(path):
            return self._checked(request, exchange, "GET", self._open_stream)
        if path == SNAPSHOT_PATH:
            return self._checked(request, exchange, "POST", self._open_snapshot)
        if path == PROBING_PATH:
            return FixedReceiver(_probing_answer(), exchange)
        return self._information.open(request, exchange) or FixedReceiver(NOT_FOUND, exchange)

    def _checked(
        self,
        request: HttpRequest,
        exchange: Exchange,
        method: str,
        handler: Callable[[HttpRequest, Exchange], Receiver],
    ) -> Receiver:
        if request.method != method:
            return FixedReceiver(method_not_allowed(method), exchange)
        exchange.common = (("X-Etcd-Cluster-ID", f"{self._options.cluster_id:x}"),)
        if path_is_stream(request.path):
            exchange.common += (("X-Server-Version", str(self._options.version)),)
        refused = check_sender(request, self._options)
        sender = request.header(b"x-server-from")
        if refused is not None:
            if sender not in self._told_refused:
                self._tell_refused(request, refused)
            return FixedReceiver(refused, exchange)
        self._told_refused.discard(sender)
        return handler(request, exchange)

    def _tell_refused(self, request: HttpRequest, refused: HttpResponse) -> None:
        """Log the refusal, once however often it is tried. The first line is what stock says."""
        sender = request.header(b"x-server-from")
        if len(self._told_refused) >= TOLD_REFUSED_MAX:
            self._told_refused.clear()
        self._told_refused.add(sender)
        if refused is WRONG_CLUSTER:
            self._log.error(
                "request sent was ignored due to cluster ID mismatch",
                remote_peer_id=sender,
                remote_peer_cluster_id=request.header(b"x-etcd-cluster-id"),
                local_member_cluster_id=f"{self._options.cluster_id:x}",
            )
        else:
            self._log.warn(
                "refused a request of another member",
                remote_peer_id=sender,
                remote_peer_server_version=request.header(b"x-server-version"),
                remote_peer_server_minimum_cluster_version=request.header(b"x-min-cluster-version"),
                error=refused.body.decode().strip(),
            )

    # Messages.

    def _open_raft(self, request: HttpRequest, exchange: Exchange) -> Receiver:
        self._note_sender(request)
        return BodyReceiver(
            exchange, self._take_message, self._log, size_max=MESSAGE_BODY_BYTES_MAX
        )

    def _take_message(self, body: bytes) -> HttpResponse:
        try:
            message = Message.decode(body)
        except DecodeError:
            return refusal(400, "error unmarshalling raft message")
        if self._transport.peer(message.from_) is not None:  # others may call themselves anything
            self.figures.posted_bytes[message.from_] += len(body)
        return self._process(message) or TAKEN

    def _process(self, message: Message) -> HttpResponse | None:
        """Step a message; the refusal, if it is refused."""
        try:
            self._port.process(message)
        except RemovedSenderError:
            return _json_error("cannot process message from removed member")
        except WrongTargetError:
            self._log_wrong_target(message)
        except Exception as error:
            self._log.warn("failed to process a raft message", error=error)
            return refusal(500, "error processing raft message")
        return None

    # Streams.

    def _open_stream(self, request: HttpRequest, exchange: Exchange) -> Receiver:
        words = request.path.removeprefix(STREAM_PATH).split("/")
        kind = next((kind for kind in StreamKind if kind.value == words[0]), None)
        if kind is None or len(words) != 2:
            return FixedReceiver(refusal(404, "invalid path"), exchange)
        sender = parse_hex_id(words[1])
        if sender is None:
            return FixedReceiver(refusal(404, "invalid from"), exchange)
        if self._port.is_removed(sender):
            return FixedReceiver(refusal(410, "removed member"), exchange)
        self._note_sender(request)
        peer = self._transport.peer(sender)
        if peer is None:
            return FixedReceiver(refusal(404, "error sender not found"), exchange)
        if request.header(b"x-raft-to") != f"{self._options.member_id:x}":
            return FixedReceiver(refusal(412, "to field mismatch"), exchange)
        writer = peer.attach(kind, exchange, version_in(request, b"x-server-version"))
        self.figures.stream_opened(sender, kind, writer)
        return StreamBody(writer.lost)

    def _note_sender(self, request: HttpRequest) -> None:
        """Learn where an unknown sender can be answered."""
        sender = parse_hex_id(request.header(b"x-server-from"))
        urls = [url for url in request.header(b"x-peerurls").split(",") if url]
        if sender is None or not urls or self._port.is_removed(sender):
            return
        with contextlib.suppress(ConfigError):  # what is no URL leads nowhere
            self._transport.add_remote(sender, check_urls(urls))

    # Snapshots.

    def _open_snapshot(self, request: HttpRequest, exchange: Exchange) -> Receiver:
        self._note_sender(request)
        receiver = SnapshotReceiver(self._port.snapshot_folder())
        # Source: stock reads with the same limit as everything from other members (run: 5.0 s).
        idle_s_max = self._options.read_timeout_s
        return SnapshotBody(
            exchange, receiver, self._take_snapshot, self._log, idle_s_max=idle_s_max
        )

    async def _take_snapshot(self, receiver: SnapshotReceiver) -> HttpResponse:
        message = receiver.check_complete()
        if not receiver.is_snapshot:
            return refusal(400, "wrong raft message type")
        assert message.snapshot is not None
        await receiver.close_file()
        self._log.info(
            "received and saved database snapshot",
            snapshot_index=message.snapshot.metadata.index,
            remote_snapshot_sender_id=f"{message.from_:x}",
            bytes=receiver.size_bytes,
        )
        try:
            await self._port.receive_snapshot(message, receiver.path)
        except RemovedSenderError:
            return _json_error("cannot process message from removed member")
        except WrongTargetError:
            self._log_wrong_target(message)
        except Exception:
            self.figures.refused_snapshots[message.from_] += 1
            raise
        else:
            self.figures.snapshot_received(message.from_, monotonic_s() - receiver.begun_s)
        return TAKEN

    def _log_wrong_target(self, message: Message) -> None:
        """Drop what is for another member, which had our URL before, and say nothing.

        Newer versions of stock answer 403. To the sender that means that it was removed, and it
        stops; but it only has not heard yet that the other one was replaced by this one.
        """
        self._log.warn(
            "ignored a raft message for another member",
            from_=f"{message.from_:x}",
            to=f"{message.to:x}",
        )


def path_is_stream(path: str) -> bool:
    return path.startswith(STREAM_PATH)


def _json_error(text: str) -> HttpResponse:
    return HttpResponse(403, json.dumps({"message": text}, separators=(",", ":")).encode(), JSON)


def _probing_answer() -> HttpResponse:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return HttpResponse(200, f'{{"OK":true,"Now":"{now}"}}\n'.encode(), TEXT)
