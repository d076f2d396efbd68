"""Calls with one request and many messages in answer to it: one task each, at the client's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kvorum.errors import Code, StatusError, WireError
from kvorum.rpc.grpc import Call
from kvorum.server.log import Logger


class StreamedAnswer:
    """One such call.

    Args:
        answer: given the request and this; sends, and returns when all is said. A WireError that it
            raises is the call's end.
        log: told of other errors.
    """

    __slots__ = ("_answer", "_call", "_log", "_task", "_writable")

    def __init__(
        self, call: Call, answer: Callable[[Any, StreamedAnswer], Awaitable[None]], log: Logger
    ) -> None:
        self._call = call
        self._answer = answer
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        call.on_writable(self._writable.set)

    async def send(self, frames: bytes, unsent_bytes_max: int) -> None:
        """Send framed messages. Returns when no more than that waits for the client to read."""
        self._call.send(frames)
        while not self._call.has_room(unsent_bytes_max):
            self._writable.clear()
            await self._writable.wait()

    # For the call.

    def message(self, request: Any) -> None:
        if self._task is not None:
            raise StatusError(Code.INTERNAL, "a second request in a call that takes one")
        self._task = asyncio.ensure_future(self._run(request))

    def half_closed(self) -> None:
        if self._task is None:
            self._call.finish(StatusError(Code.UNKNOWN, "EOF"))

    def closed(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, request: Any) -> None:
        try:
            await self._answer(request, self)
        except WireError as error:
            self._call.finish(error)
        except Exception as error:
            self._log.error("failed to answer a request", error=error)
            self._call.finish(StatusError(Code.INTERNAL, "internal error; see the member's log"))
        else:
            self._call.finish()
