"""Hashes the database beside its member: `python -m kvorum.server.hash_worker DB IGNORED...`.

Writes the hash of every row of every bucket, but for the named keys of the bucket `meta`, to
standard output. See `database_workers`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from kvorum.mvcc.hashing import hash_buckets
from kvorum.server.worker import STDOUT, run_worker, tell_ready, watch_input
from kvorum.storage.buckets import BUCKETS, META, Bucket
from kvorum.storage.files import Row
from kvorum.storage.lmdb_file import LmdbFile

NICENESS: Final = 10


def main(arguments: list[str]) -> int:
    path, *ignored = arguments
    names = {name.encode() for name in ignored}
    return run_worker(lambda: _print_hash(Path(path), names), NICENESS)


def _print_hash(path: Path, ignored: set[bytes]) -> None:
    with LmdbFile.open(path, live=True) as source:
        tell_ready()
        value = _hash(source, ignored)
    os.write(STDOUT, b"%d" % value)


def _hash(source: LmdbFile, ignored: set[bytes]) -> int:
    check = watch_input()
    return hash_buckets((bucket, _rows(source, bucket, ignored, check)) for bucket in BUCKETS)


def _rows(
    source: LmdbFile, bucket: Bucket, ignored: set[bytes], check: Callable[[], None]
) -> Iterator[list[Row]]:
    for rows in source.rows(bucket.name):
        check()
        yield [row for row in rows if row[0] not in ignored] if bucket is META else rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
