"""Changes of the past, read back from the rows of the backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvorum.errors import CompactedError
from kvorum.mvcc.events import Event
from kvorum.mvcc.keyvalue import mod_field, parse
from kvorum.mvcc.revision import first_row, is_tombstone, main_of
from kvorum.storage.buckets import KEY

if TYPE_CHECKING:
    from kvorum.mvcc.store import Store

HISTORY_CHUNK_ROWS = 1000
"""Rows read at a time: some 2 ms of work, and never more than so many values in memory."""


def read_history(
    store: Store, start: int, end: int, chunk_rows: int
) -> Iterator[tuple[int, list[Event]]]:
    """See `Store.events_between`."""
    current, events = start, list[Event]()
    rows_of = store.backend.scan(
        KEY, first_row(max(0, start)), first_row(end + 1), chunk_rows=chunk_rows
    )
    for chunk in rows_of:
        # A compaction that began since the last chunk may have removed rows of this one.
        if current < store.compact_revision:
            raise CompactedError
        for row, stored in chunk:
            main = main_of(row)
            if main != current:
                if events:
                    yield current, events
                current, events = main, []
            if stored:  # a restore that bumps the revision writes a row of nothing
                events.append(_event(row, main, stored))
    if events:
        yield current, events


def _event(row: bytes, main: int, stored: bytes) -> Event:
    kv = parse(stored)
    if is_tombstone(row):
        return Event(True, kv.key, stored + mod_field(main), main)
    return Event(False, kv.key, stored, main, kv.create_revision, kv.version)
