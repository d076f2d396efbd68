"""Proposals of this member that have not been applied yet, and who waits for them.

They are found by the very bytes of the entry: each holds a request id that no other has, and the
bytes come back from the core as the same object, so a look-up costs one hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kvorum.errors import RequestTimeoutError, WireError


class Pending:
    """One proposal: how to apply it, and the future of its response."""

    __slots__ = ("deadline_s", "future", "method", "request")

    def __init__(
        self,
        method: Callable[[Any], bytes],
        request: Any,
        future: asyncio.Future[bytes],
        deadline_s: float,
    ) -> None:
        self.method = method
        self.request = request
        self.future = future
        self.deadline_s = deadline_s


def _plain_timeout(_: float) -> WireError:
    return RequestTimeoutError()


class PendingTable:
    """Proposals by the bytes of their entries, oldest first."""

    __slots__ = ("_by_data", "failed", "pop")

    def __init__(self) -> None:
        self._by_data: dict[bytes, Pending] = {}
        self.failed = 0
        """Proposals that were refused or given up; not those of a member that stops."""
        self.pop = self._by_data.pop

    def __len__(self) -> int:
        return len(self._by_data)

    def add(self, data: bytes, pending: Pending) -> None:
        self._by_data[data] = pending

    def is_awaited(self, data: bytes) -> bool:
        """Whether anybody still waits for `data`: it has not been given up or cancelled."""
        pending = self._by_data.get(data)
        return pending is not None and not pending.future.done()

    def fail(self, data: bytes, error: WireError) -> None:
        """Tell the one who waits for `data` that it will not come."""
        pending = self._by_data.pop(data, None)
        if pending is not None and not pending.future.done():
            pending.future.set_exception(error)

    def expire(self, now_s: float, error_of: Callable[[float], WireError] = _plain_timeout) -> None:
        """Give up what has waited past its deadline: it may be applied yet, or never.

        Args:
            now_s: the time, as deadlines count it.
            error_of: what to tell about a deadline.
        """
        expired = []
        for data, pending in self._by_data.items():
            if pending.deadline_s > now_s:
                break
            expired.append((data, pending.deadline_s))
        self.failed += len(expired)
        for data, deadline_s in expired:
            self.fail(data, error_of(deadline_s))

    def fail_all(self, error: WireError) -> None:
        for data in list(self._by_data):
            self.fail(data, error)
