"""`--memory-mlock`: what a member has in memory stays in memory.

The whole process is locked, not the database alone as in etcd: an answer waits for a swapped page
of the index as well. Pages count from when they are first used, so that the address space which the
database reserves takes no memory.

Source: mlockall(2); etcd server/storage/backend locks the pages of bbolt.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from kvorum.errors import ConfigError

# From <sys/mman.h> of Linux.
MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
MCL_ONFAULT: Final = 4


def lock_memory() -> None:
    """Lock the memory of this process, what it will get included.

    Raises:
        ConfigError: the system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        reason = os.strerror(ctypes.get_errno()).lower()
        raise ConfigError(
            f"--memory-mlock: the memory cannot be locked: {reason}; allow it (ulimit -l "
            "unlimited, LimitMEMLOCK=infinity, CAP_IPC_LOCK) or leave the flag out"
        )
