"""One watch as its owner sees it: an iterator over responses.

    async with client.watch(b"job/", prefix_end(b"job/"), start_revision=7) as watcher:
        async for response in watcher:
            for event in response.events: ...

Events come in order, each once, whatever happens to the connection: after a failure the watch is
made again at `next_revision`, the first revision that the owner has not been given. It ends with an
error when the member cancels it; the commonest is CompactedError, when `next_revision` is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from kvorum.client.cancelled import cancel_error
from kvorum.errors import WireError
from kvorum.proto.rpc_pb2 import WatchCreateRequest, WatchResponse

if TYPE_CHECKING:
    from kvorum.client.watch_stream import WatchStream


class Watcher:
    """Made by `Client.watch`.

    Invariants
        I1  every event below `next_revision` was given to the owner or is in `_responses`, and
            none from `next_revision` on
        I2  `_error` is set once, when no more responses will come

    `next_revision` is 0 until the watch has begun, if it was to begin "now".
    """

    __slots__ = (
        "_arrived",
        "_created",
        "_error",
        "_fragments",
        "_request",
        "_responses",
        "_size_bytes",
        "_stream",
        "closed",
        "last_response",
        "next_revision",
        "watch_id",
    )

    def __init__(self, stream: WatchStream, request: WatchCreateRequest) -> None:
        self._stream = stream
        self._request = request
        self._responses: deque[WatchResponse] = deque()
        self._size_bytes = 0
        self._fragments: WatchResponse | None = None
        self._arrived = asyncio.Event()
        self._created = asyncio.Event()
        self._error: WireError | None = None
        self.closed = False
        self.next_revision = request.start_revision
        self.watch_id = 0
        """The member's name for the watch, of use to the stream only."""
        self.last_response: WatchResponse | None = None
        """The response that cancelled the watch, once there is one."""

    # For the owner

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchResponse:
        """The next response: events, or none of them when it tells of progress.

        Raises:
            WireError: the watch is over.
        """
        while not self._responses:
            if self.closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        response = self._responses.popleft()
        self._size_bytes -= response.ByteSize()
        if not self._responses:
            self._stream.drained(self)
        return response

    async def wait_created(self) -> None:
        """Return when the member has begun to watch.

        Raises:
            WireError: it will not.
        """
        await self._created.wait()
        if self._error is not None:
            raise self._error

    def request_progress(self) -> None:
        """Have the member say how far it is: a response without events will come."""
        self._stream.request_progress()

    def cancel(self) -> None:
        """End the watch. What was received already can still be read."""
        if not self.closed:
            self.closed = True
            self._stream.forget(self)
            self._arrived.set()
            self._created.set()

    @property
    def compact_revision(self) -> int:
        """When the watch ended because of a compaction: the first revision that can be had."""
        return 0 if self.last_response is None else self.last_response.compact_revision

    # For the stream

    @property
    def backlog(self) -> tuple[int, int]:
        """Responses that wait for the owner, and their size in bytes."""
        return len(self._responses), self._size_bytes

    @property
    def over(self) -> bool:
        """No response will be taken any more."""
        return self.closed or self._error is not None

    def create_request(self, watch_id: int) -> WatchCreateRequest:
        """The request that begins the watch, or takes it up where it stopped."""
        self._fragments = None
        request = WatchCreateRequest()
        request.CopyFrom(self._request)
        request.start_revision = self.next_revision
        request.watch_id = watch_id
        return request

    def begun(self, response: WatchResponse) -> None:
        """The member watches."""
        if self.next_revision == 0:
            self.next_revision = response.header.revision + 1
        self._created.set()

    def received(self, response: WatchResponse) -> None:
        """Take a response of the member."""
        whole = self._joined(response)
        if whole is None:
            return
        if whole.events:
            if whole.events[-1].kv.mod_revision < self.next_revision:
                return  # we have it; no member should send it again
            self.next_revision = whole.events[-1].kv.mod_revision + 1
        else:
            self.next_revision = max(self.next_revision, whole.header.revision + 1)
        self._add(whole)

    def progressed(self, response: WatchResponse) -> None:
        """Take a progress response that is meant for every watch of the stream.

        It does not move `next_revision`: members before 3.4.25 and 3.5.8 send it although a watch
        is still catching up.
        """
        self._add(response)

    def ended(self, response: WatchResponse) -> None:
        """The member cancelled the watch, or refused to begin it."""
        self.last_response = response
        self.failed(cancel_error(response))

    def failed(self, error: WireError) -> None:
        """The watch cannot go on."""
        if self._error is None:
            self._error = error
        self._arrived.set()
        self._created.set()

    def _joined(self, response: WatchResponse) -> WatchResponse | None:
        """Put fragments of one response together; None while some are missing."""
        if self._fragments is not None:
            self._fragments.events.extend(response.events)
            joined, self._fragments = self._fragments, None
        else:
            joined = response
        if response.fragment:
            self._fragments = joined
            return None
        joined.fragment = False
        return joined

    def _add(self, response: WatchResponse) -> None:
        self._responses.append(response)
        self._size_bytes += response.ByteSize()
        self._arrived.set()
