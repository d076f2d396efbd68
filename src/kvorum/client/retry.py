"""Whether a request that failed may be made again, and when.

no connection             on the next endpoint, until the deadline. Nothing was sent, so this holds
                          for writes too
connection lost           reads: on the next endpoint
refused as unavailable    on the next endpoint, a few times; a write only where the refusal says
                          that nothing was done
token refused             once, with a new one
anything else             not
"""

from __future__ import annotations

import asyncio

from kvorum.client.deadline import Deadline
from kvorum.client.endpoint import Endpoint, EndpointRing
from kvorum.client.errors import (
    ConnectDeadlineError,
    ConnectionFailedError,
    DeadlineExceededError,
    TransportError,
)
from kvorum.client.options import ClientOptions
from kvorum.client.token import TokenSource
from kvorum.errors import UnavailableError, UnhealthyClusterError, WireError


class Backoff:
    """Pauses between attempts: none until every endpoint had one, then longer and longer."""

    __slots__ = ("_delay_s", "_failures_count", "_options", "_ring")

    def __init__(self, options: ClientOptions, ring: EndpointRing) -> None:
        self._options, self._ring = options, ring
        self._failures_count = 0
        self._delay_s = options.retry_delay_s

    def reset(self) -> None:
        """An attempt succeeded."""
        self._failures_count = 0
        self._delay_s = self._options.retry_delay_s

    def next_delay_s(self) -> float:
        """Call once for each failure; how long to wait before the next attempt."""
        self._failures_count += 1
        if self._failures_count % len(self._ring):
            return 0.0
        delay_s = self._delay_s
        self._delay_s = min(2 * delay_s, self._options.retry_delay_s_max)
        return delay_s


class Retry:
    """The attempts of one request."""

    __slots__ = (
        "_backoff",
        "_deadline",
        "_is_read",
        "_lost_count",
        "_options",
        "_refused_count",
        "_ring",
        "_token",
        "_token_renewed",
    )

    def __init__(
        self,
        options: ClientOptions,
        ring: EndpointRing,
        token: TokenSource,
        deadline: Deadline,
        *,
        is_read: bool,
    ) -> None:
        self._options, self._ring, self._deadline = options, ring, deadline
        self._is_read = is_read
        self._lost_count = self._refused_count = 0
        self._backoff = Backoff(options, ring)
        self._token, self._token_renewed = token, False

    async def after(self, endpoint: Endpoint, error: WireError) -> WireError | None:
        """What to raise after an attempt on `endpoint` failed; None, after a pause: try again."""
        if isinstance(error, UnavailableError):
            # Also when the caller's time is over: the next request should not wait there as well.
            self._ring.failed(endpoint)
        if not self._token_renewed and self._token.is_stale(error):
            self._token_renewed = True
            return None
        if not self._may_repeat(error):
            return error
        delay_s = self._backoff.next_delay_s()
        left_s = self._deadline.left_s()
        if left_s is None or left_s > delay_s:
            await asyncio.sleep(delay_s)
            return None
        await asyncio.sleep(left_s)
        if isinstance(error, ConnectionFailedError):
            return ConnectDeadlineError(error)
        return error

    def _may_repeat(self, error: WireError) -> bool:
        if isinstance(error, ConnectionFailedError):
            return True
        if not isinstance(error, UnavailableError) or isinstance(error, DeadlineExceededError):
            return False
        if isinstance(error, UnhealthyClusterError):
            return False  # it is not about the member that was asked
        if error.maybe_done and not self._is_read:
            return False
        if isinstance(error, TransportError):
            self._lost_count += 1
            return self._lost_count < self._options.lost_attempts_max
        self._refused_count += 1
        return self._refused_count < self._options.refused_attempts_max
