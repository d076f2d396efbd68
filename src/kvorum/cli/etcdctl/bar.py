r"""The line that `check` redraws on standard output while it works, as stock does, also in a pipe.

\r 12 / 60   20.00% 00m48s
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from kvorum.cli.shared.stdio import write_text

REDRAW_S: Final = 0.2


class Bar:
    """How many of `total` are done."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._begun_s = self._drawn_s = monotonic()
        self.done = 0
        self._draw("")

    def add(self) -> None:
        """One more is done."""
        self.done += 1
        self.refresh()

    def refresh(self) -> None:
        now_s = monotonic()
        if now_s - self._drawn_s >= REDRAW_S and self.done < self._total:
            self._drawn_s = now_s
            left_s = (now_s - self._begun_s) / max(self.done, 1) * (self._total - self.done)
            self._draw(f" {_time(left_s)}" if self.done and left_s >= 1 else "")

    def finish(self) -> None:
        """Draw it full, with the time that it took, and end the line."""
        self.done = self._total
        took_s = round(monotonic() - self._begun_s)
        minutes, seconds = divmod(took_s, 60)
        self._draw(f" {minutes}m{seconds}s\n" if minutes else f" {seconds}s\n")

    def _draw(self, end: str) -> None:
        percent = f"{100 * self.done / self._total:.2f}"
        write_text(f"\r {self.done} / {self._total} {percent:>7}%{end}")


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02}m{rest:02}s"
