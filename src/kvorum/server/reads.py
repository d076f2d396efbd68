"""Reads that must be linearizable: each waits until everything committed before it is applied here.

Where this member alone is the quorum the newest applied state is that, and a read is answered at
once. Otherwise the leader is asked for its commit index; reads of all clients share the question.
A waiting read is no task and has no timer: that took 5 µs of each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from kvorum.errors import RequestTimeoutError, WireError
from kvorum.server.clock import monotonic_s
from kvorum.server.node import Node
from kvorum.server.ports import Response
from kvorum.server.proposals import Proposals
from kvorum.server.slow import SlowRequests


class _Read:
    """One read that waits. See `node.IndexWaiter`."""

    __slots__ = ("answer", "asked_s", "future", "reads", "request")

    def __init__(
        self,
        reads: Reads,
        answer: Callable[[Any], bytes],
        request: Any,
        future: asyncio.Future[bytes],
        asked_s: float,
    ) -> None:
        self.reads = reads
        self.answer = answer
        self.request = request
        self.future = future
        self.asked_s = asked_s

    def indexed(self, index: int) -> None:
        self.reads.answer_at(index, self)

    def is_over(self) -> bool:
        return self.future.done()


class Reads:
    """See the module.

    Args:
        node: knows the index, or asks for it.
        proposals: know how far the log has been applied, and tell of it.
        timeout_s: how long a read may wait.
        slow: told of reads that took long, or got no answer.
    """

    def __init__(
        self, node: Node, proposals: Proposals, timeout_s: float, slow: SlowRequests
    ) -> None:
        self._node = node
        self._proposals = proposals
        self._timeout_s = timeout_s
        self._slow = slow
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Read] = deque()
        """Those that have waited longest first; some are answered already."""
        self._behind: list[tuple[int, _Read]] = []
        """Reads that know the index they wait for."""
        proposals.on_applied = self._applied

    def read(self, serializable: bool, answer: Callable[[Any], bytes], request: Any) -> Response:
        """Call `answer(request)` when the state is new enough for it: at once, or later.

        The future raises what `answer` raises, or:
            UnavailableError: no leader answered in time.
            StoppedError: the member stops. This may also be raised at once.
        """
        if serializable:
            return answer(request)
        index = self._node.read_index_nowait()
        if index is not None and index <= self._proposals.applied_index:
            return answer(request)
        read = _Read(self, answer, request, self._loop.create_future(), monotonic_s())
        if index is None:
            self._node.read_index(read)
        else:
            self._behind.append((index, read))
        self._waiting.append(read)
        return read.future

    async def wait_linearizable(self) -> None:
        """Return when everything committed before the call has been applied here.

        Raises:
            UnavailableError: no leader answered in time.
        """
        waiting = self.read(False, _nothing, None)
        if isinstance(waiting, asyncio.Future):
            await waiting

    def answer_at(self, index: int, read: _Read) -> None:
        """Answer a read once everything up to `index` has been applied."""
        if self._proposals.applied_index < index:
            self._behind.append((index, read))
        else:
            self._answer(read)

    def expire(self, now_s: float) -> None:
        """Give up the reads that have waited too long."""
        waiting = self._waiting
        while waiting and (
            waiting[0].future.done() or now_s - waiting[0].asked_s >= self._timeout_s
        ):
            read = waiting.popleft()
            if not read.future.done():
                known = self._node.raw.raft.lead != 0
                self._slow.no_read_index(self._timeout_s, has_leader=known)
                read.future.set_exception(RequestTimeoutError())

    def fail_all(self, error: WireError) -> None:
        """Tell all who wait that there will be no answer."""
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_exception(error)

    def _applied(self, index: int) -> None:
        if self._behind:
            ready = [read for wanted, read in self._behind if wanted <= index]
            self._behind = [one for one in self._behind if one[0] > index]
            for read in ready:
                self._answer(read)

    def _answer(self, read: _Read) -> None:
        future, request = read.future, read.request
        if future.done():
            return  # nobody waits any more
        begun_s = monotonic_s()
        try:
            response = read.answer(request)
        except Exception as error:
            future.set_exception(error)
            return
        future.set_result(response)
        ended_s, limit_s = monotonic_s(), self._slow.limit_s
        if ended_s - read.asked_s > limit_s >= ended_s - begun_s and request is not None:
            self._slow.read(ended_s - read.asked_s, request, response)  # else `answer` told of it


def _nothing(_: None) -> bytes:
    return b""
