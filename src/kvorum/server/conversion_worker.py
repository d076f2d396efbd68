"""Brings a received database into our format: `python -m kvorum.server.conversion_worker FROM TO`.

FROM is in bbolt's format and is walked whole first; TO must not exist, and is there whole and
durable when the exit code is 0. See `database_workers`, and `receiving` for what it is part of.

In a process of its own because it is nothing but work: 660 MB take 3 s of a core, and a member that
lent its interpreter to that stood still for 0.1 s now and then.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from kvorum.errors import CorruptionError
from kvorum.server.worker import run_worker, tell_ready, watch_input
from kvorum.storage.bulk import copy_database
from kvorum.storage.files import open_database

NICENESS: Final = 10
"""The member goes first; yet the leader keeps its log until the receiver has the database."""


def main(arguments: list[str]) -> int:
    received, target = map(Path, arguments)
    return run_worker(lambda: _convert(received, target), NICENESS)


def _convert(received: Path, target: Path) -> None:
    tell_ready()
    check = watch_input()
    with open_database(received) as database:
        problems = database.check()
        if problems:
            raise CorruptionError(received, None, problems[0], "the leader sends it again")
        copy_database(database, target, progress=lambda done, total: check())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
