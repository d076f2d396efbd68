"""Copies the database beside its member, without free pages: `... .defrag_worker DB COPY`.

After the rows of one transaction it copies those that were added to the bucket `key` meanwhile, as
often as that were many: what is left for the member to bring over is small. See
`database_workers` and `kvorum.storage.rewriting`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kvorum.server.worker import run_worker, tell_ready, watch_input
from kvorum.storage.buckets import BUCKETS, KEY
from kvorum.storage.bulk import BulkWriter
from kvorum.storage.lmdb_file import LmdbFile

NICENESS: Final = 10
"""The member goes first; yet the file grows until the copy is made."""
FEW_ROWS: Final = 10_000
PASSES_MAX: Final = 10
_MIB: Final = 1 << 20


def main(arguments: list[str]) -> int:
    used, copy = map(Path, arguments)
    return run_worker(lambda: _copy(used, copy, watch_input()), NICENESS)


def _copy(used: Path, copy: Path, check: Callable[[], None]) -> None:
    with BulkWriter(copy) as writer:
        with LmdbFile.open(used, live=True) as source:
            tell_ready()
            _check_room(source)
            newest = _copy_all(source, writer, check)
        for _ in range(PASSES_MAX):
            count, newest = _copy_added(used, newest, writer, check)
            if count <= FEW_ROWS:
                break
        writer.finish()


def _check_room(source: LmdbFile) -> None:
    found = os.statvfs(source.path.parent)
    free = found.f_bavail * found.f_frsize
    if free < source.size_bytes:
        raise OSError(
            f"not enough room beside {source.path}: defragmenting needs up to"
            f" {source.size_bytes // _MIB} MiB and {free // _MIB} MiB are free"
        )


def _copy_all(source: LmdbFile, writer: BulkWriter, check: Callable[[], None]) -> bytes:
    """Copy every row; the highest key of the bucket `key`."""
    newest = b""
    for bucket in BUCKETS:
        for rows in source.rows(bucket.name):
            check()
            writer.add(bucket, rows)
            if bucket is KEY:
                newest = rows[-1][0]
    return newest


def _copy_added(
    used: Path, newest: bytes, writer: BulkWriter, check: Callable[[], None]
) -> tuple[int, bytes]:
    """Copy the rows behind `newest`; how many there were, and the highest key now."""
    count = 0
    with LmdbFile.open(used, live=True) as source:
        for rows in source.rows(KEY.name, newest + b"\0"):
            check()
            writer.add(KEY, rows)
            count += len(rows)
            newest = rows[-1][0]
    return count, newest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
