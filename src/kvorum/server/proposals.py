"""Proposals of this member, and reads that must be linearizable.

Both wait for the log: a proposal until its entry is applied, a read until everything that was
committed before it is. Where this member alone is the quorum the newest applied state is that, and
a read is answered at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kvorum.cluster.ids import RequestIds
from kvorum.errors import (
    NoLeaderError,
    RequestTimeoutError,
    RequestTooLargeError,
    TimeoutLeaderFailError,
    WireError,
)
from kvorum.server import entries
from kvorum.server.clock import monotonic_s
from kvorum.server.node import Node
from kvorum.server.options import ServerOptions
from kvorum.server.pending import Pending, PendingTable
from kvorum.server.ports import Response
from kvorum.server.slow import SlowRequests


class Proposals:
    """See the module.

    Attributes:
        node: takes the entries; set before the first proposal (it needs `dropped` to be made).
        applied_index: how far the log has been applied.
    """

    def __init__(
        self, options: ServerOptions, ids: RequestIds, applied_index: int, slow: SlowRequests
    ) -> None:
        self.node: Node
        self.applied_index = applied_index
        self.pending = PendingTable()
        self._options = options
        self._ids = ids
        self._slow = slow
        self._loop = asyncio.get_running_loop()
        self._appliers: list[tuple[int, asyncio.Future[None]]] = []

    # Writing.

    def next_id(self) -> int:
        """An id that no other request of the cluster has."""
        return self._ids.next()

    def propose(
        self, tag: bytes, raw: bytes, method: Callable[[Any], bytes], request: Any
    ) -> asyncio.Future[bytes]:
        """Propose a request; the future gets what `method(request)` returns when it is applied.

        Raises:
            RequestTooLargeError, TooManyRequestsError: nothing was proposed.
        """
        data = entries.encode(tag, raw, self._ids.next())
        if len(data) > self._options.max_request_bytes:
            raise RequestTooLargeError
        return self.propose_data(data, method, request)

    def propose_data(
        self, data: bytes, method: Callable[[Any], bytes], request: Any
    ) -> asyncio.Future[bytes]:
        """As `propose`, of an entry that is encoded already."""
        future: asyncio.Future[bytes] = self._loop.create_future()
        self.node.propose(data)
        deadline_s = monotonic_s() + self._options.request_timeout_s
        self.pending.add(data, Pending(method, request, future, deadline_s))
        return future

    def dropped(self, batch: list[bytes], error: Exception) -> None:
        """The core refused these entries."""
        self.pending.failed += len(batch)
        for data in batch:
            self.pending.fail(data, NoLeaderError())

    # Reading.

    def read(self, serializable: bool, answer: Callable[[Any], bytes], request: Any) -> Response:
        """Call `answer(request)` when the state is new enough for it: at once, or later."""
        if serializable:
            return answer(request)
        index = self.node.read_index_nowait()
        if index is not None and index <= self.applied_index:
            return answer(request)
        return asyncio.ensure_future(self._read_later(answer, request))

    async def _read_later(self, answer: Callable[[Any], bytes], request: Any) -> bytes:
        asked_s = monotonic_s()
        await self.wait_linearizable()
        begun_s = monotonic_s()
        response = answer(request)
        ended_s, limit_s = monotonic_s(), self._slow.limit_s
        if ended_s - asked_s > limit_s >= ended_s - begun_s:  # else `answer` has told of it
            self._slow.read(ended_s - asked_s, request, response)
        return response

    async def wait_linearizable(self) -> None:
        """Return when everything committed before the call has been applied here.

        Raises:
            UnavailableError: no leader answered in time.
        """
        try:
            async with asyncio.timeout(self._options.request_timeout_s):
                index = self.node.read_index_nowait()
                if index is None:
                    index = await self.node.read_index()
                if self.applied_index < index:
                    await self._wait_applied(index)
        except TimeoutError:
            known = self.node.raw.raft.lead != 0
            self._slow.no_read_index(self._options.request_timeout_s, has_leader=known)
            error: type[WireError] = RequestTimeoutError if known else TimeoutLeaderFailError
            raise error from None

    def _wait_applied(self, index: int) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self._appliers.append((index, future))
        return future

    def note_applied(self, index: int) -> None:
        """The log has been applied up to `index`. Called once for each batch."""
        self.applied_index = index
        if self._appliers:
            waiting = []
            for wanted, future in self._appliers:
                if wanted > index:
                    waiting.append((wanted, future))
                elif not future.done():
                    future.set_result(None)
            self._appliers = waiting
