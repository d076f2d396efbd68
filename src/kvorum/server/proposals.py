"""Proposals of this member: each waits until its entry is applied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kvorum.cluster.ids import RequestIds
from kvorum.errors import (
    NoLeaderError,
    RequestTooLargeError,
)
from kvorum.server import entries
from kvorum.server.clock import monotonic_s
from kvorum.server.node import Node
from kvorum.server.options import ServerOptions
from kvorum.server.pending import Pending, PendingTable


class Proposals:
    """See the module.

    Attributes:
        node: takes the entries; set before the first proposal (it needs `dropped` to be made).
        applied_index: how far the log has been applied.
    """

    def __init__(self, options: ServerOptions, ids: RequestIds, applied_index: int) -> None:
        self.node: Node
        self.applied_index = applied_index
        self.pending = PendingTable()
        self._size_max = options.max_request_bytes
        self._timeout_s = options.request_timeout_s
        self._ids = ids
        self._loop = asyncio.get_running_loop()
        self.on_applied: Callable[[int], None] = _nothing
        """Told how far the log has been applied, after each batch."""

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
        if len(data) > self._size_max:
            raise RequestTooLargeError
        return self.propose_data(data, method, request)

    def propose_data(
        self, data: bytes, method: Callable[[Any], bytes], request: Any
    ) -> asyncio.Future[bytes]:
        """As `propose`, of an entry that is encoded already."""
        future: asyncio.Future[bytes] = self._loop.create_future()
        self.node.propose(data)
        deadline_s = monotonic_s() + self._timeout_s
        self.pending.add(data, Pending(method, request, future, deadline_s))
        return future

    def dropped(self, batch: list[bytes], error: Exception) -> None:
        """The core refused these entries."""
        self.pending.failed += len(batch)
        for data in batch:
            self.pending.fail(data, NoLeaderError())

    def note_applied(self, index: int) -> None:
        """The log has been applied up to `index`. Called once for each batch."""
        self.applied_index = index
        self.on_applied(index)


def _nothing(_: int) -> None:
    return
