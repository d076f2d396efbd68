"""The write transaction: every change that one log entry makes, under one main revision.

Source: shared facts, disk.md section 5 (revision rules).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum.mvcc.events import Event
from kvorum.mvcc.keyvalue import encode_put, encode_tombstone, mod_field
from kvorum.mvcc.revision import TOMBSTONE_MARK, sub_suffix
from kvorum.storage.buckets import KEY

if TYPE_CHECKING:
    from kvorum.mvcc.store import Store


class WriteTxn:
    """Made by `Store.begin`, over with `end`. There is one at a time.

    Changes are seen by reads at once. There is no way back: who applies a request checks
    everything that can be refused before the first change.

    Cost: begin, put of a known key and end take 4 µs, of a new key 7 µs (CPython 3.11).
    """

    __slots__ = ("_changes", "_events", "_main", "_main_bytes", "_mod_field", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._main = main = store.revision + 1
        self._main_bytes = main.to_bytes(8, "big")
        self._mod_field = mod_field(main)
        self._changes = 0
        self._events: list[Event] | None = None if store.on_events is None else []

    @property
    def revision(self) -> int:
        """What reads see as the newest revision: its own once it has changed something."""
        return self._main if self._changes else self._main - 1

    def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """Put a key, attached to `lease` alone (0: to none). Returns the main revision.

        The lease exists; the caller has checked.
        """
        store, main, changes = self._store, self._main, self._changes
        self._changes = changes + 1
        row = self._main_bytes + sub_suffix(changes)
        create, version = store.index.put(key, row, main)
        stored = encode_put(key, create, self._mod_field, version, value, lease)
        store.backend.put(KEY, row, stored)
        counters = store.counters
        counters.puts += 1
        counters.put_bytes += len(key) + len(value)
        if lease or store.leases:
            store.attach(key, lease)
        if self._events is not None:
            self._events.append(Event(False, key, stored, main, create, version))
        return main

    def delete_range(self, start: bytes, end: bytes | None) -> int:
        """Delete the keys alive in a range, each with a sub revision of its own, in their order.

        Args:
            start: first key.
            end: first key no longer deleted. None: only `start`; b"": every key from `start` on.

        Returns:
            How many there were.
        """
        store, main_bytes, first = self._store, self._main_bytes, self._changes
        store.counters.deletes += 1
        keys = store.index.live_keys(start, end)
        if not keys:
            return 0
        self._changes = first + len(keys)
        rows = [
            main_bytes + sub_suffix(sub) + TOMBSTONE_MARK for sub in range(first, self._changes)
        ]
        store.index.delete(keys, rows, self._main)
        put = store.backend.put
        for row, key in zip(rows, keys, strict=True):
            put(KEY, row, encode_tombstone(key))
        if store.leases:
            for key in keys:
                store.attach(key, 0)
        if self._events is not None:
            mod = self._mod_field
            self._events += [
                Event(True, key, encode_tombstone(key) + mod, self._main) for key in keys
            ]
        return len(keys)

    def end(self) -> None:
        """Make the changes, if there are any, the newest revision, and tell watchers of them."""
        store = self._store
        store.writer = None
        if self._changes:
            store.index.end_revision(self._main)
            store.revision = self._main
            if self._events and store.on_events is not None:
                store.on_events(self._main, self._events)
