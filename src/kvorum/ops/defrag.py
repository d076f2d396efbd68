"""Defragmentation of a stopped member's database: written anew without free pages.

The new file is built beside the old one (`db.tmp.<pid>`, a name that members remove at start) and
takes its place when it is whole and on the disk. A crash at any point leaves one of the two.

Source: shared facts, disk.md section 10.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError, CorruptionError
from kvorum.ops.stopped import StoppedMember
from kvorum.storage.bbolt import BoltLayout
from kvorum.storage.bulk import copy_database
from kvorum.storage.files import DatabaseFile, Progress, Row

TEMPORARY: Final = "db.tmp."
_MODE: Final = 0o600
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DefragResult:
    """Sizes of the database file."""

    before_bytes: int
    after_bytes: int


def defrag(data_dir: Path, progress: Progress | None = None) -> DefragResult:
    """Defragment the database in `data_dir`; a bbolt file stays one.

    Raises:
        ConfigError: there is none, a member runs on it, or the disk has no room for another copy.
        CorruptionError: it is damaged; it was left as it is.
        OSError: the new file cannot be written; the old one was left as it is.
    """
    with StoppedMember(data_dir) as member:
        path = member.database
        for left in path.parent.glob(f"{TEMPORARY}*"):
            left.unlink()
        temporary = path.with_name(f"{TEMPORARY}{os.getpid()}")
        before = path.stat().st_size
        try:
            with member.open_database() as source:
                _check(source)
                if source.kind == "lmdb":
                    copy_database(source, temporary, progress=progress)
                else:
                    _rewrite(source, temporary, progress)
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_directory(path.parent)
        return DefragResult(before_bytes=before, after_bytes=path.stat().st_size)


def _check(source: DatabaseFile) -> None:
    """Refuse what cannot be copied whole."""
    # The first pass over a bbolt file meets all pages, and nothing has been written before it ends.
    problems = source.check() if source.kind == "lmdb" else []
    if problems:
        raise CorruptionError(
            source.path,
            None,
            "; ".join(problems),
            "restore the member from a snapshot, or remove it and add it again",
        )
    found = os.statvfs(source.path.parent)
    free = found.f_bavail * found.f_frsize
    if free < source.size_bytes:
        raise ConfigError(
            f"not enough room beside {source.path}: defragmenting needs up to"
            f" {source.size_bytes // _MIB} MiB and {free // _MIB} MiB are free; make room first"
        )


def _rewrite(source: DatabaseFile, path: Path, progress: Progress | None) -> None:
    """Write the rows of `source` into a new bbolt file."""
    layout = BoltLayout([(name, _rows_of(source, name)) for name in source.bucket_names()])
    done = 0
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _MODE)
    with open(fd, "wb") as file:
        for chunk in layout.chunks():
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, layout.size_bytes)
        file.flush()
        os.fsync(file.fileno())


def _rows_of(source: DatabaseFile, name: bytes) -> Callable[[], Iterator[list[Row]]]:
    return lambda: source.rows(name)
