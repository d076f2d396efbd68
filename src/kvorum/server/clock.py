"""The clocks of a member. Durations are monotonic; wall time is only for ids and the log."""

from __future__ import annotations

import time

monotonic_s = time.monotonic
monotonic_ns = time.monotonic_ns


def unix_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
