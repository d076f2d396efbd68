"""Streams end when the member stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from kvorum.errors import StoppedError


async def until_stopping(stopping: asyncio.Event, work: Coroutine[object, object, None]) -> None:
    """Run `work` to its end, or until the member begins to stop.

    Raises:
        StoppedError: the member stops; the client hears UNAVAILABLE and goes to another one.
    """
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise StoppedError
        task.result()
    finally:
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
