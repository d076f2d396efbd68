"""A stream that we have opened to another member: what it has to tell us comes from there.

Dialled again and again, at stock's pace, for as long as the peer is known.

Source: shared facts, peer.md sections 2 and 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final

from kvorum.errors import ConfigError, DecodeError
from kvorum.peer.http import Answer, PeerConnection, PeerHttpError
from kvorum.peer.messages import MessageDecoder
from kvorum.peer.msgapp import MsgAppDecoder
from kvorum.peer.options import PeerOptions, request_headers
from kvorum.peer.urls import UrlPicker
from kvorum.proto.raftpb import Message
from kvorum.proto.versions import parse_version
from kvorum.server.log import Logger

RETRY_S: Final = 0.1
LINK_PATHS_SINCE: Final = (2, 1)
"""The oldest etcd with these streams."""
_IGNORED: Final = {
    "incompatible version": "server version incompatibility",
    "cluster ID mismatch": "cluster ID mismatch",
}
"""Why a peer refuses us, and how stock's log tells of it."""


class StreamKind(Enum):
    """Which stream; the value is its name in the URL."""

    MESSAGE = "message"
    MSGAPP = "msgapp"


class StreamReader:
    """Reads one stream of one peer, in a task of its own.

    Args:
        kind: which stream.
        peer_id: the member at the other end.
        urls: where it is.
        process: takes each message.
        removed: called when the peer says that we were removed from the cluster.
        changed: called with True when the stream is up and with False when it is down.
    """

    def __init__(
        self,
        kind: StreamKind,
        peer_id: int,
        urls: UrlPicker,
        options: PeerOptions,
        *,
        process: Callable[[Message], None],
        removed: Callable[[], None],
        changed: Callable[[], None],
        log: Logger,
    ) -> None:
        self.kind = kind
        self.is_up = False
        self.received_bytes = 0
        self._peer_id = peer_id
        self._urls = urls
        self._options = options
        self._process = process
        self._removed = removed
        self._changed = changed
        self._log = log
        self._told = ""
        self._is_stopped = False
        self._task = asyncio.ensure_future(self._run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell of a bug here; one in the core that a message trips ends the member."""
        if not task.cancelled() and task.exception() is not None:
            self._log.error("a stream's reader broke down", error=repr(task.exception()))

    def stop(self) -> None:
        self._is_stopped = True
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            url = self._urls.pick()
            connection = PeerConnection(
                url,
                dial_timeout_s=self._options.dial_timeout_s,
                io_timeout_s=self._options.read_timeout_s,
                local_address=self._options.local_address,
                context=self._options.ssl_context,
            )
            try:
                await self._read(connection)
                self._tell("the stream ended")
            except (PeerHttpError, DecodeError) as error:
                self._urls.failed(url)
                self._tell(str(error))
            finally:
                connection.close()
                self._set_up(False)
            await asyncio.sleep(RETRY_S)

    async def _read(self, connection: PeerConnection) -> None:
        answer = await connection.open(
            f"/raft/stream/{self.kind.value}/{self._options.member_id:x}",
            [
                *request_headers(self._options),
                ("X-Raft-To", f"{self._peer_id:x}"),
                ("X-PeerURLs", ",".join(self._options.peer_urls)),
            ],
        )
        if answer.status != 200:
            await self._refused(connection, answer)
        _check_version(answer)
        self._set_up(True)
        self._told = ""
        decoder: MessageDecoder | MsgAppDecoder = MessageDecoder()
        if self.kind is StreamKind.MSGAPP:
            decoder = MsgAppDecoder(remote=self._peer_id, local=self._options.member_id)
        async for data in connection.chunks():
            self.received_bytes += len(data)
            for message in decoder.feed(data):
                self._process(message)

    async def _refused(self, connection: PeerConnection, answer: Answer) -> None:
        body = b"".join([chunk async for chunk in connection.chunks()])
        text = body.decode(errors="replace").strip()
        if answer.status == 410:
            self._removed()
        if text in _IGNORED:
            raise PeerHttpError(f"request sent was ignored by remote peer due to {_IGNORED[text]}")
        if answer.status == 404:
            raise PeerHttpError(
                f"peer {self._peer_id:x} failed to find local node {self._options.member_id:x}"
            )
        raise PeerHttpError(f"the peer refused the stream: {answer.status} {text}")

    def _set_up(self, is_up: bool) -> None:
        if self.is_up == is_up or self._is_stopped:
            return
        self.is_up = is_up
        fields = {
            "stream_reader_type": f"stream {self.kind.value}",
            "local_member_id": f"{self._options.member_id:x}",
            "remote_peer_id": f"{self._peer_id:x}",
        }
        if is_up:
            self._log.info("established TCP streaming connection with remote peer", **fields)
        else:
            self._log.warn("lost TCP streaming connection with remote peer", **fields)
        self._changed()

    def _tell(self, problem: str) -> None:
        """Log why there is no stream; once, however often it is tried."""
        if problem != self._told:
            self._told = problem
            self._log.warn(
                "failed to reach the peer URL",
                stream_reader_type=f"stream {self.kind.value}",
                remote_peer_id=f"{self._peer_id:x}",
                error=problem,
            )


def _check_version(answer: Answer) -> None:
    """Refuse a stream of somebody who does not say which etcd it is, as stock does."""
    try:
        version = parse_version(answer.headers.get("x-server-version", ""))
    except ConfigError:
        version = parse_version("2.0.0")
    if version[:2] < LINK_PATHS_SINCE:
        raise PeerHttpError("unsupported stream type")
