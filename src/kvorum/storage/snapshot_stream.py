"""The bytes of a snapshot, from any database file: bbolt format, SHA-256 behind it.

The rows are read twice: once to plan all pages, so that the size is known before the first byte,
and once to write them. Memory is the plan and one list of rows.

Source: shared facts, disk.md sections 4 and 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from typing import Final

from kvorum.storage.bbolt import BoltLayout
from kvorum.storage.files import DatabaseFile, Row

TRAILER_BYTES: Final = 32
"""A snapshot file is a database, which is whole pages, and this: size % 512 == 32."""


class SnapshotStream:
    """The snapshot of `source`, which must stay open and the same. The constructor plans it.

    Args:
        source: what to take the rows from.
        tick: called every few MiB of rows, in both passes; what it raises ends the work.

    Raises:
        CorruptionError: `source` is damaged.
    """

    def __init__(self, source: DatabaseFile, *, tick: Callable[[], None] | None = None) -> None:
        self._source = source
        self._tick = tick
        self._hash = sha256()
        buckets = [(name, partial(self._rows, name)) for name in source.bucket_names()]
        self._layout = BoltLayout(buckets)

    @property
    def size_bytes(self) -> int:
        """Bytes of the database, without the trailer."""
        return self._layout.size_bytes

    def database(self) -> Iterator[bytes]:
        """The database in pieces of about 1 MiB. Once."""
        for piece in self._layout.chunks():
            self._hash.update(piece)
            yield piece

    @property
    def trailer(self) -> bytes:
        """The SHA-256 of the pieces that `database` has given."""
        return self._hash.digest()

    def pieces(self) -> Iterator[bytes]:
        """The whole file: database and trailer."""
        yield from self.database()
        yield self.trailer

    def _rows(self, bucket: bytes) -> Iterator[list[Row]]:
        for rows in self._source.rows(bucket):
            if self._tick is not None:
                self._tick()
            yield rows
