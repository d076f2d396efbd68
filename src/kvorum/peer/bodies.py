"""Bodies of requests to the peer port, and what is done when one is complete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from kvorum.errors import DecodeError
from kvorum.peer.checks import refusal
from kvorum.peer.snapshots import SnapshotReceiver
from kvorum.rpc.exchange import Exchange
from kvorum.rpc.http import HttpResponse
from kvorum.server.log import Logger

IDLE_ROUNDS: Final = 5
"""An idle limit is counted in rounds without a byte and not read off a clock: a member that stood
still itself would find the limit over, and the bytes unread that came meanwhile."""
MESSAGE_BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of a posted raft message: an append has at most 1 MiB of entries, or one entry of any size."""
SMALL_BODY_BYTES_MAX: Final = 64 * 1024

Answer = Callable[[bytes], "HttpResponse | Awaitable[HttpResponse]"]


class BodyReceiver:
    """Collects a body, and answers when it is complete.

    Args:
        answer: makes the response of the body, at once or later.
        size_max: a longer body is refused.
    """

    def __init__(
        self,
        exchange: Exchange,
        answer: Answer,
        log: Logger,
        *,
        size_max: int = SMALL_BODY_BYTES_MAX,
    ) -> None:
        self._exchange = exchange
        self._answer = answer
        self._log = log
        self._size_max = size_max
        self._body = bytearray()
        self._refused = False
        self._task: asyncio.Task[None] | None = None

    def data(self, chunk: bytes, ended: bool) -> None:
        if self._refused:
            return
        self._body += chunk
        if len(self._body) > self._size_max:
            self._refused = True
            self._body.clear()
            self._exchange.respond(refusal(413, "request body too large"))
        elif ended:
            response = self._answer(bytes(self._body))
            if isinstance(response, HttpResponse):
                self._exchange.respond(response)
            else:
                self._task = asyncio.ensure_future(self._answer_later(response))

    def cancelled(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _answer_later(self, response: Awaitable[HttpResponse]) -> None:
        try:
            self._exchange.respond(await response)
        except Exception as error:
            self._log.error("failed to answer another member", error=error)
            self._exchange.respond(refusal(500, "internal error"))


class StreamBody:
    """The request of a stream has no body; its end is the end of the stream."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost

    def data(self, chunk: bytes, ended: bool) -> None:
        """There is none."""

    def cancelled(self) -> None:
        self._lost()


class SnapshotBody:
    """The body of a snapshot: goes into a file as it comes.

    Args:
        receive: takes the snapshot when it is whole; returns the answer.
        idle_s_max: how long no byte may come; then the sender is given up, and what has come is
            dropped. Without it a sender whose machine is gone would be noticed by TCP alone.
    """

    def __init__(
        self,
        exchange: Exchange,
        receiver: SnapshotReceiver,
        receive: Callable[[SnapshotReceiver], Awaitable[HttpResponse]],
        log: Logger,
        *,
        idle_s_max: float,
    ) -> None:
        self._exchange = exchange
        self._receiver = receiver
        self._receive = receive
        self._log = log
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._idle_s_max = idle_s_max
        self._quiet_rounds = 0
        self._round = self._loop.call_later(idle_s_max / IDLE_ROUNDS, self._end_round)
        exchange.take_time()

    def data(self, chunk: bytes, ended: bool) -> None:
        if self._over:
            return
        self._quiet_rounds = 0
        try:
            self._receiver.feed(chunk)
            if ended:
                self._receiver.check_complete()
        except DecodeError as error:
            self._refuse(400, f"failed to decode raft message ({error})")
        except OSError as error:
            self._refuse(500, f"failed to save KV snapshot ({error})")
        else:
            if ended:
                self._over = True
                self._round.cancel()
                self._task = asyncio.ensure_future(self._finish())

    def cancelled(self) -> None:
        self._round.cancel()
        if self._task is None:
            self._receiver.discard()
        # Else it is whole: what has come is kept, whether or not the sender hears of it.

    def _end_round(self) -> None:
        if self._quiet_rounds == IDLE_ROUNDS:
            self._refuse(500, f"failed to save KV snapshot (no bytes for {self._idle_s_max:g} s)")
            return
        self._quiet_rounds += 1
        self._round = self._loop.call_later(self._idle_s_max / IDLE_ROUNDS, self._end_round)

    def _refuse(self, status: int, text: str) -> None:
        self._over = True
        self._round.cancel()
        self._receiver.discard()
        self._log.warn("refused a database snapshot", error=text)
        self._exchange.respond(refusal(status, text))

    async def _finish(self) -> None:
        try:
            self._exchange.respond(await self._receive(self._receiver))
        except Exception as error:
            self._log.error("failed to save a database snapshot", error=error)
            self._exchange.respond(refusal(500, f"failed to save KV snapshot ({error})"))
        finally:
            self._receiver.discard()
