"""Removing what a compaction gave up, a step at a time.

A compaction at revision C keeps, of each key, the newest revision that is not above C and all
later ones; of a key that was dead at C, only what came later. The index has noted which rows that
leaves (see `index`), so the work is proportional to the rows that go, not to those that stay, and
each step is as long as its caller wants. Writers and readers go on between two steps.

Stock walks the whole bucket up to C and removes every row it does not know to keep. Both leave the
same rows.

Source: shared facts, disk.md section 7.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from kvorum.mvcc.revision import row_key
from kvorum.storage.buckets import FINISHED_COMPACT_REV, KEY, META

if TYPE_CHECKING:
    from kvorum.mvcc.compaction_hash import CompactionHash, CompactionHashing
    from kvorum.mvcc.store import Store

STEP_ROWS = 1000
"""Rows removed by one step: 1 to 2 ms. Source: etcd --experimental-compaction-batch-limit."""


class Compaction:
    """One compaction. `on_done`, if set, is called when the last row is gone.

    Attributes:
        made: the hash that it has made; None: it makes none, or has not yet.
        took_s: how long it took, once it is done.
    """

    __slots__ = (
        "_begun_s",
        "_hashing",
        "_store",
        "done",
        "made",
        "on_done",
        "revision",
        "rows_removed",
        "took_s",
    )

    def __init__(
        self, store: Store, revision: int, hashing: CompactionHashing | None = None
    ) -> None:
        self._store = store
        self._begun_s = monotonic()
        self._hashing = hashing
        self.revision = revision
        self.done = False
        self.rows_removed = 0
        self.made: CompactionHash | None = None
        self.took_s = 0.0
        self.on_done: Callable[[], None] | None = None

    def step(self, rows_max: int | None = None) -> bool:
        """Remove some rows. Returns False when there is nothing to do (now).

        Compactions are stepped in the order in which they were asked for. While a HashKV runs
        nothing is removed: it would miss the rows.
        """
        store = self._store
        if self.done or store.hashes_running:
            return False
        assert store.compactions[0] is self
        if self._hashing is not None:
            self._hash_step(self._hashing)
            return True
        step_s = monotonic()
        rows = store.index.drop(self.revision, rows_max or STEP_ROWS)
        delete = store.backend.delete
        for row in rows:
            delete(KEY, row)
        self.rows_removed += len(rows)
        counters, now_s = store.counters, monotonic()
        counters.rows_compacted += len(rows)
        counters.compaction_pauses_ms.observe((now_s - step_s) * 1000)
        if rows:
            return True
        self.took_s = now_s - self._begun_s
        counters.compaction_totals_ms.observe(self.took_s * 1000)
        counters.compacted_unix_s = time_ns() / 1e9
        store.backend.put(META, FINISHED_COMPACT_REV, row_key(self.revision))
        store.compactions.popleft()
        self._end()
        if store.on_compacted is not None:
            store.on_compacted(self)
        return bool(store.compactions)

    def give_up(self) -> None:
        """The store was replaced by a newer one, in which the rows are gone, or will be."""
        self._end()

    def _end(self) -> None:
        self.done = True
        if self.on_done is not None:
            self.on_done()

    def _hash_step(self, hashing: CompactionHashing) -> None:
        made = hashing.step()
        if made is not None:
            self.made = made
            self._store.compaction_hashes.add(made)
            self._hashing = None
