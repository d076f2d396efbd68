"""What the programs have in common that read the member's database beside it.

They import no more than they need: 60 ms from start to the reader. See `database_workers`.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import Final

from kvorum.errors import KvorumError

READY: Final = b"\n"
STDIN, STDOUT = 0, 1


class NotWantedError(Exception):
    """The member has ended, or does not want the result any more."""


def run_worker(work: Callable[[], None], niceness: int) -> int:
    """Do the work at a low priority. Returns the exit code; the reason is on standard error."""
    os.nice(niceness)
    try:
        work()
    except (NotWantedError, BrokenPipeError):
        return 1
    except (KvorumError, OSError, MemoryError) as error:
        sys.stderr.write(f"{error or type(error).__name__}\n")
        return 1
    return 0


def watch_input() -> Callable[[], None]:
    """What raises NotWantedError once standard input has ended. Costs 1 µs a call."""
    poll = select.poll()
    poll.register(STDIN, select.POLLIN | select.POLLHUP)

    def check() -> None:
        if poll.poll(0):
            raise NotWantedError

    return check


def tell_ready() -> None:
    """The file has been opened, and its transaction is held."""
    os.write(STDOUT, READY)
