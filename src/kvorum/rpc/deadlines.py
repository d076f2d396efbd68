"""Deadlines of unary calls, watched together.

A timer for each call would cost 1.8 µs, to add a call here and to take it out again 0.1 µs. Clients
keep their deadlines themselves and hang up; ours end what a call still holds, and answer those who
do not. So it does no harm that a call may be ended `SWEEP_S` late.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from kvorum.server.clock import monotonic_s

SWEEP_S: Final = 0.05
"""How often the calls are looked through, while there are any."""


class Expiring(Protocol):
    """A call that has a deadline."""

    def expired(self) -> None:
        """The deadline is over. Called once, unless the call was taken out before."""
        ...


class Deadlines:
    """See the module."""

    __slots__ = ("_deadlines_s", "_running", "discard")

    def __init__(self) -> None:
        self._deadlines_s: dict[Expiring, float] = {}
        self._running = False
        self.discard = self._deadlines_s.pop
        """`discard(call, None)` takes a call out, if it is there."""

    def __len__(self) -> int:
        return len(self._deadlines_s)

    def add(self, call: Expiring, deadline_s: float) -> None:
        """End `call` at `deadline_s`, as the monotonic clock counts."""
        self._deadlines_s[call] = deadline_s
        if not self._running:
            self._running = True
            asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        now_s = monotonic_s()
        expired = [call for call, end_s in self._deadlines_s.items() if end_s <= now_s]
        for call in expired:
            if self._deadlines_s.pop(call, None) is not None:
                call.expired()
        self._running = bool(self._deadlines_s)
        if self._running:
            asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
