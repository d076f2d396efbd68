"""Keeping leases alive: one stream for all leases of a client.

Each lease is asked for again when a third of its time is over. When the next third goes by without
an answer the member is taken to hang, and the next endpoint is asked. A lease is over for its owner
when the member says so (its time to live is 0), or when its whole time went by without an answer:
then the member has let it go, or will, and nobody here can know better.

Source: etcd client/v3 lease.go (the third, the wait for the first answer, the buffer of 16).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from time import monotonic
from typing import Self

from kvorum.client.errors import ClientClosedError, ConnectionLostError
from kvorum.client.methods import LEASE_KEEP_ALIVE
from kvorum.client.stream import Stream
from kvorum.client.transport import Transport
from kvorum.errors import (
    Code,
    InvalidAuthTokenError,
    LeaseNotFoundError,
    StatusError,
    UnavailableError,
    WireError,
)
from kvorum.proto.rpc_pb2 import LeaseKeepAliveRequest, LeaseKeepAliveResponse

UNREAD_RESPONSES_MAX = 16
FIRST_ANSWER_EXTRA_S = 1.0
"""Added to the dial timeout: how long a lease may wait for its first answer."""


class KeepAlive:
    """A lease that is being kept alive; iterates over the member's answers.

    Reading them is not necessary: only the newest are kept. `wait_over` tells when it ends.
    """

    __slots__ = (
        "_arrived",
        "_error",
        "_keeper",
        "_responses",
        "ends_s",
        "interval_s",
        "lease_id",
        "next_s",
        "unanswered",
    )

    def __init__(self, keeper: LeaseKeeper, lease_id: int, first_answer_s: float) -> None:
        self._keeper = keeper
        self._responses: deque[LeaseKeepAliveResponse] = deque(maxlen=UNREAD_RESPONSES_MAX)
        self._arrived = asyncio.Event()
        self._error: WireError | None = None
        self.lease_id = lease_id
        self.next_s = monotonic()
        """When to ask for it next (time.monotonic)."""
        self.ends_s = self.next_s + first_answer_s
        """When it is over, if no answer comes."""
        self.interval_s = first_answer_s / 3
        """How long an answer may take."""
        self.unanswered = False
        """Asked for on the stream that there is, and not answered yet."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LeaseKeepAliveResponse:
        """The next answer.

        Raises:
            LeaseNotFoundError: the lease is over.
            WireError: it cannot be kept alive.
        """
        while not self._responses:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        return self._responses.popleft()

    async def wait_over(self) -> WireError:
        """Return the reason when the lease is not kept alive any more."""
        while self._error is None:
            self._responses.clear()
            self._arrived.clear()
            await self._arrived.wait()
        return self._error

    def cancel(self) -> None:
        """Stop keeping it alive. The lease itself lives until its time is over."""
        self._keeper.remove(self)
        self.failed(ClientClosedError())

    def answered(self, response: LeaseKeepAliveResponse) -> None:
        """Take an answer of the member."""
        now_s = monotonic()
        self.interval_s = response.TTL / 3
        self.next_s = now_s + self.interval_s
        self.unanswered = False
        self.ends_s = now_s + response.TTL
        self._responses.append(response)
        self._arrived.set()

    def failed(self, error: WireError) -> None:
        """It is over."""
        if self._error is None:
            self._error = error
        self._arrived.set()


class LeaseKeeper:
    """Keeps the leases of one client alive. A lease can be given to it more than once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._leases: dict[int, list[KeepAlive]] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, lease_id: int) -> KeepAlive:
        first_answer_s = self._transport.options.dial_timeout_s + FIRST_ANSWER_EXTRA_S
        keep_alive = KeepAlive(self, lease_id, first_answer_s)
        self._leases.setdefault(lease_id, []).append(keep_alive)
        self._changed.set()
        if not self._tasks or any(task.done() for task in self._tasks):
            self._tasks = [
                asyncio.create_task(self._run(), name="kvorum-keep-alive"),
                asyncio.create_task(self._watch_ends(), name="kvorum-keep-alive-ends"),
            ]
        return keep_alive

    def remove(self, keep_alive: KeepAlive) -> None:
        kept = self._leases.get(keep_alive.lease_id, [])
        if keep_alive in kept:
            kept.remove(keep_alive)
        if not kept:
            self._leases.pop(keep_alive.lease_id, None)
        self._changed.set()

    async def close(self) -> None:
        """Stop everything; the leases live on until their time is over."""
        await self._stop_tasks()
        self._fail_all(ClientClosedError())

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    def _all(self) -> list[KeepAlive]:
        return [keep_alive for kept in self._leases.values() for keep_alive in kept]

    def _fail_all(self, error: WireError) -> None:
        leases, self._leases = self._all(), {}
        for keep_alive in leases:
            keep_alive.failed(error)

    async def _run(self) -> None:
        backoff = self._transport.backoff()
        while True:
            try:
                stream = await self._transport.open_stream(LEASE_KEEP_ALIVE)
                try:
                    await self._serve(stream)
                except WireError as error:
                    self._transport.stream_failed(stream.endpoint, error)
                    raise
            except WireError as error:
                if not _may_resume(error):
                    self._fail_all(error)
                    return
                await asyncio.sleep(backoff.next_delay_s())

    async def _serve(self, stream: Stream[LeaseKeepAliveRequest, LeaseKeepAliveResponse]) -> None:
        """Ask and listen until either ends, and tell why."""
        tasks = (
            asyncio.create_task(self._listen(stream), name="kvorum-keep-alive-reader"),
            asyncio.create_task(self._ask(stream), name="kvorum-keep-alive-writer"),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # The reader knows better why, when both have ended.
            await (tasks[0] if tasks[0] in done else tasks[1])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            stream.cancel()

    async def _listen(self, stream: Stream[LeaseKeepAliveRequest, LeaseKeepAliveResponse]) -> None:
        while True:
            self._dispatch(await stream.receive())

    def _dispatch(self, response: LeaseKeepAliveResponse) -> None:
        if response.TTL <= 0:
            for keep_alive in self._leases.pop(response.ID, []):
                keep_alive.failed(LeaseNotFoundError())
            return
        for keep_alive in self._leases.get(response.ID, []):
            keep_alive.answered(response)
        self._changed.set()

    async def _ask(self, stream: Stream[LeaseKeepAliveRequest, LeaseKeepAliveResponse]) -> None:
        """Ask for every lease whose turn has come, again and again.

        Raises:
            ConnectionLostError: an answer is overdue, and there are other endpoints.
        """
        has_others = len(self._transport.ring) > 1
        for keep_alive in self._all():
            keep_alive.next_s = 0.0  # what was asked on an earlier stream may have been lost
            keep_alive.unanswered = False
        while True:
            self._changed.clear()
            now_s = monotonic()
            for lease_id, kept in list(self._leases.items()):
                if min(keep_alive.next_s for keep_alive in kept) <= now_s:
                    if has_others and all(keep_alive.unanswered for keep_alive in kept):
                        raise ConnectionLostError(
                            "no answer to a keep-alive request", stream.endpoint.text
                        )
                    for keep_alive in kept:
                        keep_alive.next_s = now_s + keep_alive.interval_s
                        keep_alive.unanswered = True
                    await stream.send(LeaseKeepAliveRequest(ID=lease_id))
            await self._sleep_until(min((k.next_s for k in self._all()), default=None))

    async def _watch_ends(self) -> None:
        """End the leases whose time went by without an answer."""
        while True:
            self._changed.clear()
            now_s = monotonic()
            for keep_alive in self._all():
                if keep_alive.ends_s <= now_s:
                    self.remove(keep_alive)
                    keep_alive.failed(LeaseNotFoundError())
            await self._sleep_until(min((k.ends_s for k in self._all()), default=None))

    async def _sleep_until(self, moment_s: float | None) -> None:
        """Wait until `moment_s`, or until the leases change."""
        timeout_s = None if moment_s is None else max(0.0, moment_s - monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()


def _may_resume(error: WireError) -> bool:
    if isinstance(error, StatusError):
        return error.status is Code.INTERNAL
    return isinstance(error, (UnavailableError, InvalidAuthTokenError))
