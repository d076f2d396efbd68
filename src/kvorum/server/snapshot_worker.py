"""The program that builds a snapshot beside a member: `python -m kvorum.server.snapshot_worker DB`.

It opens the member's database as a reader of its own, at a low priority, and writes to standard
output: `HEAD` and its blocks, the database in bbolt format, its SHA-256. The exit code is 0 only
after all of it; else one line of the reason is on standard error.

Standard input is held open by the member and never written: when it ends, so does the member, or
it does not want the snapshot any more, and the worker goes too. So no reader outlives its member.

It imports no more than it needs: 60 ms from start to the reader.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

from kvorum.cluster import v2store
from kvorum.cluster.store import MembershipReader
from kvorum.server.worker import STDOUT, run_worker, watch_input
from kvorum.storage.buckets import (
    CONF_STATE,
    CONSISTENT_INDEX,
    META,
    TERM,
    Bucket,
    decode_u64,
)
from kvorum.storage.files import Row
from kvorum.storage.lmdb_file import LmdbFile
from kvorum.storage.snapshot_stream import SnapshotStream

HEAD: Final = Struct("<QQQII")
"""Size of the database in bytes, consistent index, term; lengths of the two blocks that follow it:
the configuration (JSON, as in the bucket `meta`), the membership (as in a raft snapshot)."""
NICENESS: Final = 19


def main(arguments: list[str]) -> int:
    (path,) = arguments
    return run_worker(lambda: _write_snapshot(Path(path)), NICENESS)


def _write_snapshot(path: Path) -> None:
    with LmdbFile.open(path, live=True) as source:
        _write(source)


def _write(source: LmdbFile) -> None:
    stream = SnapshotStream(source, tick=watch_input())
    index, term = (
        decode_u64(source.get(META.name, name) or bytes(8)) for name in (CONSISTENT_INDEX, TERM)
    )
    conf_state = source.get(META.name, CONF_STATE) or b"{}"
    membership = _membership(source)
    _write_all(HEAD.pack(stream.size_bytes, index, term, len(conf_state), len(membership)))
    _write_all(conf_state + membership)
    for piece in stream.pieces():
        _write_all(piece)


class _Buckets:
    """The buckets of a file, for `MembershipReader` to read."""

    def __init__(self, source: LmdbFile) -> None:
        self._source = source

    def get(self, bucket: Bucket, key: bytes, /) -> bytes | None:
        return self._source.get(bucket.name, key)

    def range(self, bucket: Bucket, start: bytes, end: bytes, /) -> Iterator[Row]:
        for rows in self._source.rows(bucket.name, start):
            yield from (row for row in rows if row[0] < end)


def _membership(source: LmdbFile) -> bytes:
    """Who is in the cluster by this database, and not by what came after it."""
    store = MembershipReader(_Buckets(source))
    return v2store.encode(store.members(), store.removed_ids(), store.version())


def _write_all(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(STDOUT, rest) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
