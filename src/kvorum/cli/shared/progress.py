"""A progress bar on standard error, for work that takes a while and only on a terminal.

    with ProgressBar("Restoring") as bar:
        work(progress=bar.report)

Nothing is drawn in a pipe or a file, nor before the work has taken `DELAY_S`. The bar is gone at
the end: what stays on the screen is what the command prints.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

DELAY_S: Final = 0.5
"""Shorter work ends before anybody could read a bar. (rich takes 60 ms to import.)"""


class ProgressBar:
    """See the module."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begin_s = monotonic()
        self._wanted = sys.stderr is not None and sys.stderr.isatty()
        self._drawn: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def report(self, done_bytes: int, total_bytes: int) -> None:
        """Show how far the work is."""
        if not self._wanted or monotonic() - self._begin_s < DELAY_S:
            return
        if self._drawn is None:
            self._drawn = _new_bar()
            self._task = self._drawn.add_task(self._title, total=total_bytes)
            self._drawn.start()
        assert self._task is not None
        self._drawn.update(self._task, completed=done_bytes, total=total_bytes)

    def clear(self) -> None:
        """Take the bar off the screen, so that a line can be written; the next report redraws."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = self._task = None


def _new_bar() -> RichProgress:
    from rich.console import Console  # noqa: PLC0415 - only for work that is worth it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
