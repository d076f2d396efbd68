"""Writes a database of either kind as a bbolt file beside it, which then takes its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError
from kvorum.server.adoption import WORK_PREFIX
from kvorum.storage.bbolt import BoltLayout
from kvorum.storage.buckets import BUCKETS, Bucket
from kvorum.storage.files import DatabaseFile, Progress, Row

MIGRATING: Final = f"{WORK_PREFIX}.migrating"
_MODE: Final = 0o600


def write_beside(
    source: DatabaseFile,
    replaced: Mapping[Bucket, Sequence[Row]],
    progress: Progress | None,
) -> Path:
    """Write the rows of `source` into a bbolt file in the same directory; durable on return.

    Args:
        source: the database.
        replaced: rows of buckets that are to have others than in `source`.
        progress: told of the bytes written.

    Returns:
        The new file. A member that starts removes it.

    Raises:
        CorruptionError: `source` is damaged.
        ConfigError: there is no room.
    """
    path = source.path.with_name(MIGRATING)
    layout = BoltLayout([(bucket.name, _rows(source, bucket, replaced)) for bucket in BUCKETS])
    try:
        with open(path, "wb", opener=_private) as file:
            done = 0
            for chunk in layout.chunks():
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, layout.size_bytes)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(
            f"{path} cannot be written: {error}; nothing was changed. {layout.size_bytes} bytes"
            " are needed"
        ) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def take_place(path: Path, database: Path) -> None:
    """Give the new file the database's name. Durable on return."""
    path.rename(database)
    fsync_directory(database.parent)


def _rows(
    source: DatabaseFile, bucket: Bucket, replaced: Mapping[Bucket, Sequence[Row]]
) -> Callable[[], Iterator[Sequence[Row]]]:
    rows = replaced.get(bucket)
    if rows is not None:
        return lambda: iter((rows,))
    return lambda: source.rows(bucket.name)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, _MODE)
