"""Keep-alive: how often a client may ping, and when the server pings by itself.

Source: gRPC "Keepalive User Guide", grpc-go's enforcement policy; defaults: shared facts, client.md
section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kvorum.rpc.http2.errors import ErrorCode, Http2Error

STRIKES_MAX: Final = 2
"""Pings that came too soon, before the connection is ended."""
IDLE_PING_INTERVAL_S: Final = 7_200.0
"""The least time between pings of a client that has no call open."""
SETTINGS_FRAMES_MAX: Final = 1_000
"""Settings frames of one client in `SETTINGS_PERIOD_S`: each is answered, and may change the window
of every stream. Clients that measure the bandwidth send one now and then."""
SETTINGS_PERIOD_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """`--grpc-keepalive-min-time`, `--grpc-keepalive-interval`, `--grpc-keepalive-timeout`."""

    min_time_s: float = 5.0
    interval_s: float = 7_200.0
    """0: the server does not ping."""
    timeout_s: float = 20.0


class PingPolicy:
    """Judges the pings of one connection."""

    __slots__ = (
        "_clock",
        "_last_s",
        "_min_time_s",
        "_settings_frames",
        "_settings_since_s",
        "_strikes",
    )

    def __init__(self, keep_alive: KeepAlive, clock: Callable[[], float]) -> None:
        self._min_time_s = keep_alive.min_time_s
        self._clock = clock
        self._last_s = float("-inf")
        self._strikes = 0
        self._settings_frames = 0
        self._settings_since_s = float("-inf")

    def too_many(self, has_streams: bool) -> bool:
        """A ping has come. True: it was one too many."""
        now_s = self._clock()
        allowed_s = self._min_time_s if has_streams else IDLE_PING_INTERVAL_S
        if now_s - self._last_s < allowed_s:
            self._strikes += 1
        self._last_s = now_s
        return self._strikes > STRIKES_MAX

    def note_sent(self) -> None:
        """Headers or data went out: grpc-go forgives earlier pings then, as probes of bandwidth."""
        self._strikes = 0
        self._last_s = float("-inf")

    def note_settings(self) -> None:
        """A settings frame has come.

        Raises:
            Http2Error: it was one too many.
        """
        now_s = self._clock()
        if now_s - self._settings_since_s >= SETTINGS_PERIOD_S:
            self._settings_since_s = now_s
            self._settings_frames = 0
        self._settings_frames += 1
        if self._settings_frames > SETTINGS_FRAMES_MAX:
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM, "too many settings frames")
