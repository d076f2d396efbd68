"""The ways to all other members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kvorum.peer.options import PeerOptions
from kvorum.peer.peer import Peer, Remote
from kvorum.proto.raftpb import Message, MessageType
from kvorum.server.log import Logger
from kvorum.server.peer_ports import RaftPort


class PeerTransport:
    """Sends what raft has for others, and feeds it what they send. See `PeerTransportPort`.

    Nothing here waits: a message that cannot be sent is dropped, and raft is told so.
    """

    def __init__(self, port: RaftPort, options: PeerOptions, log: Logger) -> None:
        self.options = options
        self._port = port
        self._log = log
        self._peers: dict[int, Peer] = {}
        self._remotes: dict[int, Remote] = {}
        self._is_open = True

    # Sending.

    def send(self, messages: list[Message]) -> None:
        """Send each message to the member that it is for."""
        kept = without_superseded(messages) if len(messages) > 1 else messages
        for message in kept:
            to = message.to
            peer = self._peers.get(to) or self._remotes.get(to)
            if peer is None:
                continue  # removed, and raft has not heard of it yet
            if message.type == MessageType.SNAP and self._snapshots_full():
                self._port.report_snapshot(to, ok=False)
                continue
            peer.send(message)

    def _snapshots_full(self) -> bool:
        under_way = sum(one.snapshots_under_way for one in self._peers.values())
        return under_way >= self.options.limits.snapshots_max

    # Who there is.

    def add_peer(self, member_id: int, urls: Sequence[str]) -> None:
        """A member of the cluster; connects to it."""
        if member_id == self.options.member_id or member_id in self._peers or not self._is_open:
            return
        remote = self._remotes.pop(member_id, None)
        if remote is not None:
            remote.stop()
        self._log.info("started remote peer", remote_peer_id=f"{member_id:x}")
        self._peers[member_id] = Peer(member_id, urls, self._port, self.options, self._log)
        self._log.info(
            "added remote peer",
            local_member_id=f"{self.options.member_id:x}",
            remote_peer_id=f"{member_id:x}",
            remote_peer_urls=list(urls),
        )

    def add_remote(self, member_id: int, urls: Sequence[str]) -> None:
        known = member_id in self._peers or member_id in self._remotes
        if member_id == self.options.member_id or known or not self._is_open:
            return
        if len(self._remotes) < self.options.limits.remotes_max:
            self._remotes[member_id] = Remote(member_id, urls, self._port, self.options, self._log)

    def update_peer(self, member_id: int, urls: Sequence[str]) -> None:
        peer = self._peers.get(member_id)
        if peer is not None:
            peer.update(urls)
            self._log.info(
                "updated remote peer",
                local_member_id=f"{self.options.member_id:x}",
                updated_remote_peer_id=f"{member_id:x}",
                updated_remote_peer_urls=list(urls),
            )

    def remove_peer(self, member_id: int) -> None:
        for known in (self._peers, self._remotes):
            peer = known.pop(member_id, None)
            if peer is not None:
                peer.stop()
                self._log.info("stopped remote peer", remote_peer_id=f"{member_id:x}")
                self._log.info(
                    "removed remote peer",
                    local_member_id=f"{self.options.member_id:x}",
                    removed_remote_peer_id=f"{member_id:x}",
                )

    def peer(self, member_id: int) -> Peer | None:
        return self._peers.get(member_id)

    def peers(self) -> list[Peer]:
        return list(self._peers.values())

    def active_since(self, member_id: int) -> float | None:
        """Since when a member's streams are up, by the monotonic clock; None: they are not."""
        peer = self._peers.get(member_id)
        return None if peer is None else peer.active_since

    def stop(self) -> None:
        """Let go of everybody. What is not sent yet is not sent any more."""
        self._is_open = False
        for peer in (*self._peers.values(), *self._remotes.values()):
            peer.stop()
        self._peers.clear()
        self._remotes.clear()


def without_superseded(messages: list[Message]) -> list[Message]:
    """`messages` without those that a later one in the row makes superfluous.

    Acknowledgements are cumulative. An append without entries only tells how far the log is
    committed, which the next append to the same member tells too. Each that is left out saves a
    write here and an answer there: half of the appends under load are of that kind.
    """
    kept: list[Message] = []
    later: set[tuple[int, int]] = set()
    for message in reversed(messages):
        kind = message.type
        if kind == _APP or (kind == _APP_RESP and not message.reject):
            key = (message.to, kind)
            if key in later and not message.entries:
                continue
            later.add(key)
        kept.append(message)
    kept.reverse()
    return kept


_APP: Final = int(MessageType.APP)
_APP_RESP: Final = int(MessageType.APP_RESP)
