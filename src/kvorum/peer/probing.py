"""Asking a member now and then whether it is there, how far away, and what time it has.

Source: shared facts, peer.md sections 1 and 3 (`/raft/probing`).
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Final

from kvorum.histogram import Histogram
from kvorum.peer.http import Answer, PeerHttpError
from kvorum.peer.options import PeerOptions
from kvorum.peer.posting import connection_to
from kvorum.peer.urls import UrlPicker
from kvorum.server.clock import monotonic_s, unix_ms
from kvorum.server.log import Logger
from kvorum.server.metrics.families import ROUND_TRIP_SECONDS

PROBING_PATH: Final = "/raft/probing"
INTERVAL_S: Final = 4.0
CLOCK_DIFFERENCE_S_MAX: Final = 1.0


class Prober:
    """Probes one member, in a task of its own."""

    def __init__(self, peer_id: int, urls: UrlPicker, options: PeerOptions, log: Logger) -> None:
        self._peer_id = peer_id
        self._urls = urls
        self._options = options
        self._log = log
        self.is_healthy = True
        self.round_trips_s = Histogram(ROUND_TRIP_SECONDS)
        self._told_clock = False
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            connection = connection_to(self._urls.pick(), self._options)
            try:
                started = monotonic_s()
                answer = await connection.request("GET", PROBING_PATH)
                took_s = monotonic_s() - started
                ahead_s = _time_of(answer) - unix_ms() / 1000 + took_s / 2
            except (PeerHttpError, ValueError) as error:
                self._note_failure(error)
            else:
                self._note(took_s, ahead_s)
            finally:
                connection.close()

    def _note_failure(self, error: Exception) -> None:
        if self.is_healthy:
            self.is_healthy = False
            self._log.warn(
                "prober detected unhealthy status",
                remote_peer_id=f"{self._peer_id:x}",
                error=error,
            )

    def _note(self, took_s: float, ahead_s: float) -> None:
        self.is_healthy = True
        self.round_trips_s.observe(took_s)
        if abs(ahead_s) > CLOCK_DIFFERENCE_S_MAX and not self._told_clock:
            self._log.warn(
                "prober found high clock drift",
                remote_peer_id=f"{self._peer_id:x}",
                clock_drift=f"{ahead_s:.3f}s",
                rtt=f"{took_s:.6f}s",
            )
        self._told_clock = abs(ahead_s) > CLOCK_DIFFERENCE_S_MAX


def _time_of(answer: Answer) -> float:
    """The time of the other member, in seconds since 1970.

    Raises:
        ValueError: it did not tell.
    """
    if answer.status != 200:
        raise ValueError(f"unexpected http status {answer.status}")
    told = json.loads(answer.body)
    if not isinstance(told, dict) or not isinstance(told.get("Now"), str):
        raise ValueError("the answer has no time")
    # Go tells nanoseconds; Python reads as many digits as there are, and keeps six.
    return datetime.fromisoformat(told["Now"]).timestamp()
