"""Opens what a user hands us as a backup: the one place where other forms of it would be added.

Today: a snapshot file (bbolt and 32 bytes of SHA-256), and a bare copy of `member/snap/db`, of
stock etcd (bbolt) or of ours (LMDB).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from kvorum.errors import ConfigError
from kvorum.storage.files import DatabaseFile, open_database
from kvorum.storage.lmdb_file import LmdbFile

HASH_BYTES: Final = 32
"""SHA-256 behind the database in a snapshot file."""
SECTOR_BYTES: Final = 512
"""Pages have a multiple of it. Source: etcd etcdutl/snapshot (hasChecksum)."""


def check_readable(path: Path, *, first_act: str = "open", act: str = "open") -> None:
    """Refuse what is not a file that can be read, as Go words it.

    Args:
        path: the file.
        first_act: what stock does first with it: `stat` or `open`.
        act: at what stock fails for a directory: `open` or `read`.
    """
    try:
        mode = path.stat().st_mode
        if S_ISDIR(mode):
            raise ConfigError(
                f"{act} {path}: is a directory (the database of a data directory is"
                " member/snap/db in it)"
            )
        if not S_ISREG(mode):  # opening a pipe would wait for its writer
            raise ConfigError(f"open {path}: not a regular file; save it to one first")
        with path.open("rb"):
            return
    except FileNotFoundError:
        raise ConfigError(f"{first_act} {path}: no such file or directory") from None
    except OSError as error:
        raise ConfigError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


def open_input(path: Path) -> DatabaseFile:
    """The database that the backup `path` holds. The file is never written.

    A database that a running member of ours has open is read as of its newest transaction.

    Raises:
        ConfigError: it is no backup of any kind we know, or a running stock member has it open.
        CorruptionError: it is damaged.
    """
    in_use = is_in_use(path)
    if in_use and _has_lock_table(path):
        return LmdbFile.open(path, live=True)
    if in_use:
        raise ConfigError(
            f"{path} is in use by a running member, which may change it while it is read; take a"
            " snapshot of the member with `etcdctl snapshot save`, or stop it"
        )
    try:
        return open_database(path)
    except ConfigError as error:
        raise ConfigError(f"invalid database: {error}") from error


def has_hash(path: Path) -> bool:
    """Whether the file has the length of one with a SHA-256 behind the database."""
    return path.stat().st_size % SECTOR_BYTES == HASH_BYTES


def is_in_use(path: Path) -> bool:
    """Whether a member has the database open: it holds an exclusive flock on the file then."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _has_lock_table(path: Path) -> bool:
    """Whether LMDB's table of readers stands beside the file: only ours has one."""
    return path.with_name(path.name + "-lock").exists()
