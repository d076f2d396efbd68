"""`snapshot status`: what a database file holds, in five numbers.

Source: etcdutl 3.5.1; shared facts, disk.md section 8 (the hash leaves nothing out).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import google_crc32c

from kvorum.errors import ConfigError, CorruptionError
from kvorum.mvcc.revision import main_of
from kvorum.ops.inputs import check_readable, open_input
from kvorum.storage.buckets import KEY, META, STORAGE_VERSION
from kvorum.storage.files import DatabaseFile, Progress, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStatus:
    """What stock's `snapshot status` tells, and the storage version (3.6's does)."""

    hash: int
    """CRC-32C over the names of all buckets, and all keys and values."""
    revision: int
    """Main revision of the newest row of `key`."""
    total_keys: int
    """Rows of all buckets, as 3.5 counts them."""
    total_size_bytes: int
    version: str
    """`storageVersion`; "" where the writer was older than 3.6."""


class IntegrityError(ConfigError):
    """The file is not sound. `problems` are what its check found."""

    def __init__(self, problems: list[str]) -> None:
        lines = "\n".join(problems)
        super().__init__(
            f"snapshot file integrity check failed. {len(problems)} errors found.\n{lines}"
        )
        self.problems = problems


def snapshot_status(path: Path, *, progress: Progress | None = None) -> SnapshotStatus:
    """Check the database file `path`, of any kind, and sum it up. It is not changed.

    Raises:
        ConfigError: there is no such file, or it is no database.
        IntegrityError: it is damaged.
        CorruptionError: it is so damaged that it cannot be opened.
    """
    check_readable(path, first_act="stat")
    with open_input(path) as database:
        problems = database.check()
        if problems:
            raise IntegrityError(problems)
        try:
            return _summed(database, progress)
        except CorruptionError as error:
            raise IntegrityError([str(error)]) from error


def _summed(database: DatabaseFile, progress: Progress | None) -> SnapshotStatus:
    crc, rows_count = 0, 0
    for name, rows in _all_rows(database, progress):
        if name is not None:
            crc = int(google_crc32c.extend(crc, name))
        crc = int(google_crc32c.extend(crc, b"".join(chain.from_iterable(rows))))
        rows_count += len(rows)
    last = database.last(KEY.name)
    version = database.get(META.name, STORAGE_VERSION) or b""
    return SnapshotStatus(
        hash=crc,
        revision=0 if last is None else main_of(last[0]),
        total_keys=rows_count,
        total_size_bytes=database.size_bytes,
        version=version.decode(errors="replace"),
    )


def _all_rows(
    database: DatabaseFile, progress: Progress | None
) -> Iterator[tuple[bytes | None, list[Row]]]:
    """The rows of all buckets; the name of a bucket stands beside its first ones alone."""
    done = 0
    for bucket in database.bucket_names():
        yield bucket, []
        for rows in database.rows(bucket):
            yield None, rows
            if progress is not None:
                done += sum([len(key) + len(value) for key, value in rows])
                progress(min(done, database.size_bytes), database.size_bytes)
    if progress is not None:
        progress(database.size_bytes, database.size_bytes)
