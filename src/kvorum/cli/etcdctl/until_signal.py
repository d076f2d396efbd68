"""Work that goes on until Ctrl-C or SIGTERM, and cleans up behind itself.

Every signal asks for the same; a second one does no more than the first.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
T = TypeVar("T")


@asynccontextmanager
async def interrupts() -> AsyncIterator[asyncio.Event]:
    """An event that is set by the first signal."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    for one in _SIGNALS:
        loop.add_signal_handler(one, event.set)
    try:
        yield event
    finally:
        for one in _SIGNALS:
            loop.remove_signal_handler(one)


async def unless_set(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None if `event` was set before: then it has been cancelled."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        for one in (task, waiting):
            if not one.done():
                one.cancel()
                with suppress(asyncio.CancelledError):
                    await one
