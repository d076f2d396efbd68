"""The lock that keeps a second process off a database."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from kvorum.errors import ConfigError

POLL_S = 0.05


class FileLock:
    """An exclusive flock on the database file itself.

    The lock stands on the file, not beside it, because stock etcd locks the same path: neither of
    the two starts in a directory that the other has open. The kernel lets go of it when the
    process ends, however it ends.
    """

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path, *, wait_s: float) -> None:
        """Take the lock on `path`, creating the file when it is missing.

        Args:
            path: the file to lock.
            wait_s: how long to wait for another holder, such as one that is just stopping.

        Raises:
            ConfigError: another process still holds the lock after `wait_s` seconds.
        """
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(time.monotonic() + wait_s, wait_s)
        except BaseException:
            os.close(self._fd)
            raise

    def _acquire(self, deadline: float, wait_s: float) -> None:
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise ConfigError(
                        f"{self.path} is in use by another process (waited {wait_s:g} s); stop that"
                        " process, or give this member a data directory of its own"
                    ) from None
                time.sleep(min(POLL_S, left_s))
            else:
                return

    def release(self) -> None:
        os.close(self._fd)
