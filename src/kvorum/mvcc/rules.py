"""What differs between versions of etcd in how a store compacts and hashes.

Members of one cluster compare their hashes, so a member that stands in for an older version has to
drop and hash the same rows as that version does.

Source: shared facts, disk.md sections 7 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.storage.buckets import CONSISTENT_INDEX, STORAGE_VERSION, TERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One version's behaviour. The defaults are those of the newest."""

    keep_tombstone_at_compact: bool = True
    """A tombstone exactly at the compaction revision stays until the next compaction."""

    hash_skips_tombstone_at_compact: bool = True
    """HashKV leaves such a tombstone out, so that members of both habits agree."""

    hash_at_compact_revision: bool = True
    """HashKV may be asked at the compaction revision itself."""

    hash_ignored_meta: frozenset[bytes] = frozenset((CONSISTENT_INDEX, TERM, STORAGE_VERSION))
    """Keys of the bucket `meta` that Hash leaves out."""

    check_sort_options: bool = True
    """A range with a sort order or target outside of its enum is refused."""


V3_6 = Rules()
"""etcd 3.6. Late 3.4 (from 3.4.34) and late 3.5 (from 3.5.16) compact and hash keys alike."""

V3_5 = Rules(
    keep_tombstone_at_compact=False,
    hash_skips_tombstone_at_compact=False,
    hash_at_compact_revision=False,
    hash_ignored_meta=frozenset((CONSISTENT_INDEX, TERM)),
    check_sort_options=False,
)
"""Early etcd 3.5 (checked with 3.5.1)."""

V3_4 = Rules(
    keep_tombstone_at_compact=False,
    hash_skips_tombstone_at_compact=False,
    hash_at_compact_revision=False,
    hash_ignored_meta=frozenset((CONSISTENT_INDEX,)),
    check_sort_options=False,
)
"""Early etcd 3.4 (checked with 3.4.23)."""
