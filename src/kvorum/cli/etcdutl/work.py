"""Work on data files: its progress and log on standard error, and what its errors become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.interrupts import cleaning_up
from kvorum.cli.shared.progress import ProgressBar
from kvorum.errors import KvorumError, WireError
from kvorum.server.log import Logger

_OF_THE_SERVER: Final = "etcdserver: "
"""What the texts of errors begin with that a server would send."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a piece of work tells of itself."""

    bar: ProgressBar
    log: Logger


@contextmanager
def working(title: str) -> Iterator[Work]:
    """Run work of `kvorum.ops`. Interrupted, it cleans up, and the process dies of the signal.

    Raises:
        CommandError: the work failed; exit code 1 and the reason.
    """
    from kvorum.cli.shared.console import console_logger  # noqa: PLC0415 - only with work to do

    with cleaning_up(), ProgressBar(title) as bar:
        try:
            yield Work(bar, console_logger(bar.clear))
        except (KvorumError, OSError) as error:
            raise CommandError(Exit.ERROR, describe(error)) from error


def describe(error: KvorumError | OSError) -> str:
    """An error of `kvorum.ops` in the words that users see."""
    if isinstance(error, WireError):
        return error.message.removeprefix(_OF_THE_SERVER)
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)
