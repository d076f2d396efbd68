"""Messages that go by POST: all of them while there is no stream, and the answers' meaning.

Source: shared facts, peer.md sections 2 and 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kvorum.peer.http import Answer, PeerConnection, PeerHttpError
from kvorum.peer.options import PeerOptions, request_headers
from kvorum.peer.urls import UrlPicker
from kvorum.proto.raftpb import Message

RAFT_PATH: Final = "/raft"


def check_answer(answer: Answer, removed: Callable[[], None]) -> None:
    """Whether the other member took what was posted.

    Raises:
        PeerHttpError: it did not.
    """
    if answer.status == 204:
        return
    if answer.status == 403:
        removed()
        raise PeerHttpError("the member has been permanently removed from the cluster")
    raise PeerHttpError(f"unexpected http status {answer.status}: {answer.text}")


class Pipeline:
    """Posts messages to one member, over a few connections at the same time.

    Args:
        urls: where it is.
        removed: called when the member says that we were removed from the cluster.
        done: called with None when a message has arrived, else with what went wrong.
    """

    def __init__(
        self,
        urls: UrlPicker,
        options: PeerOptions,
        *,
        removed: Callable[[], None],
        done: Callable[[PeerHttpError | None], None],
    ) -> None:
        self._urls = urls
        self._options = options
        self._removed = removed
        self._done = done
        limits = options.limits
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(limits.pipeline_count_max)
        self._idle = limits.pipeline_connections
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent_bytes = 0

    def send(self, message: Message) -> bool:
        """Queue a message. False: it was dropped, for too many wait."""
        try:
            # In the older form, which every version reads: what the other side is we may not know.
            self._queue.put_nowait(message.encode(legacy_snapshot_field=True))
        except asyncio.QueueFull:
            return False
        # Workers are made when there is work: a peer with streams needs none.
        if self._idle and self._queue.qsize():
            self._idle -= 1
            task = asyncio.ensure_future(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _work(self) -> None:
        """Post what is queued over one connection, until nothing is."""
        connection: PeerConnection | None = None
        try:
            while not self._queue.empty():
                data = self._queue.get_nowait()
                url = self._urls.pick()
                if connection is None or connection.url != url:
                    if connection is not None:
                        connection.close()
                    connection = connection_to(url, self._options)
                await self._post(connection, data)
        finally:
            self._idle += 1
            if connection is not None:
                connection.close()

    async def _post(self, connection: PeerConnection, data: bytes) -> None:
        try:
            headers = [
                *request_headers(self._options),
                ("Content-Type", "application/protobuf"),
                ("X-PeerURLs", ",".join(self._options.peer_urls)),
            ]
            answer = await connection.request("POST", RAFT_PATH, headers, data)
            check_answer(answer, self._removed)
        except PeerHttpError as error:
            self._urls.failed(connection.url)
            self._done(error)
        else:
            self.sent_bytes += len(data)
            self._done(None)


def connection_to(
    url: str,
    options: PeerOptions,
    *,
    io_timeout_s: float | None = None,
    answer_timeout_s: float | None = None,
) -> PeerConnection:
    """A connection with the timeouts of this member."""
    return PeerConnection(
        url,
        dial_timeout_s=options.dial_timeout_s,
        io_timeout_s=options.read_timeout_s if io_timeout_s is None else io_timeout_s,
        answer_timeout_s=answer_timeout_s,
        context=options.ssl_context,
        local_address=options.local_address,
    )
