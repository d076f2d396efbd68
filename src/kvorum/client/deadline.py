"""The time that a caller gives to one request, all its attempts together."""

from __future__ import annotations

from time import monotonic


class Deadline:
    """Counts down from `timeout_s`; None never ends."""

    __slots__ = ("_end_s",)

    def __init__(self, timeout_s: float | None) -> None:
        self._end_s = None if timeout_s is None else monotonic() + timeout_s

    def left_s(self) -> float | None:
        """Seconds left, not below 0; None when there is no end."""
        return None if self._end_s is None else max(0.0, self._end_s - monotonic())

    @property
    def passed(self) -> bool:
        return self._end_s is not None and monotonic() >= self._end_s
