"""The data directory of a member that does not run: found, locked, and read.

The lock is the one that members take on their database, ours and stock's alike; so neither starts
while a tool works on the directory, and no tool works on the directory of a running member.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from kvorum.errors import ConfigError
from kvorum.storage.bbolt import BoltFile, is_bolt
from kvorum.storage.files import DatabaseFile, open_database


class StoppedMember:
    """Holds the lock of a data directory while the context lasts.

    Attributes:
        snap_dir: where the database and the raft snapshots are.
        database: the path of the database.
    """

    def __init__(self, data_dir: Path) -> None:
        """Take the lock.

        Raises:
            ConfigError: there is no database, it cannot be opened, or a member runs on it.
        """
        self.snap_dir = data_dir / "member" / "snap"
        self.database = self.snap_dir / "db"
        try:
            self._fd = os.open(self.database, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ConfigError(
                f"open {self.database}: no such file or directory; is {data_dir} the data directory"
                " of a member?"
            ) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(f"open {self.database}: {reason}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise ConfigError(
                f"{self.database} is in use by a running member; stop that member first"
            ) from None

    def open_database(self) -> DatabaseFile:
        """The database for reading.

        Raises:
            ConfigError: the file is no database.
            CorruptionError: it is damaged.
        """
        if is_bolt(self.database):
            return BoltFile.open(self.database, lock=False)  # we have the lock
        return open_database(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
