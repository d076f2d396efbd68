"""Keeps the database file under its name while another process opens it.

A process that reads the database beside the member opens the file and its table of readers by their
names. Both must be of one file, so the names may not move to another file in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class OpeningGate:
    """Many may be opening, or one be replacing."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._opening = 0
        self._replacing = False

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """From before a process is started until it has opened the file."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._replacing)
            self._opening += 1
        try:
            yield
        finally:
            async with self._changed:
                self._opening -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def replacing(self) -> AsyncIterator[None]:
        """While another file takes the name. Who wants to open next waits for it."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._replacing)
            self._replacing = True
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._opening == 0)
            yield
        finally:
            async with self._changed:
                self._replacing = False
                self._changed.notify_all()
