"""What stands in the place of a backend's rows when it must not be used any more.

`put` runs for every change and asks nothing (0.11 µs); so a backend that failed, or was closed, is
given rows that raise.
"""

from __future__ import annotations

from pathlib import Path

from kvorum.storage.batch import Rows
from kvorum.storage.committer import CommitFailedError


class Refusal(list[Rows]):
    """Takes the place of the rows of a backend that failed, so that `put` need not ask."""

    def __init__(self, cause: BaseException, path: Path) -> None:
        super().__init__()
        self._cause, self._path = cause, path

    def __getitem__(self, index: object) -> Rows:  # type: ignore[override]
        raise self.error()

    def error(self) -> CommitFailedError:
        error = CommitFailedError(
            f"{self._path}: a batch could not be written ({self._cause}); make room or repair the"
            " disk, then start the member again: it applies from its log what is missing"
        )
        error.__cause__ = self._cause
        return error


class Closed(list[Rows]):
    """Takes the place of the rows of a backend that was closed."""

    def __getitem__(self, index: object) -> Rows:  # type: ignore[override]
        raise AssertionError("the backend is closed")
