"""Revisions as row keys of the `key` bucket.

A row key is 17 bytes: main revision (int64, big-endian), `_`, sub revision (int64, big-endian).
The row of a deletion (a tombstone) has an 18th byte, `t`. Row keys compare as revisions do, so the
index keeps the row keys themselves and never turns them into numbers and back.

Source: shared facts, disk.md section 5.
"""

from __future__ import annotations

import re

from kvorum.errors import CorruptionError

TOMBSTONE_MARK = b"t"
PUT_ROW_BYTES = 17
TOMBSTONE_ROW_BYTES = 18

NEVER_COMPACTED = -1
"""The compaction revision of a store that has not been compacted; HashKV reports it."""

# Most transactions change a handful of keys.
_SUFFIXES = [b"_" + sub.to_bytes(8, "big") for sub in range(256)]


def sub_suffix(sub: int) -> bytes:
    """The part of a row key behind the main revision."""
    return _SUFFIXES[sub] if sub < 256 else b"_" + sub.to_bytes(8, "big")


def row_key(main: int, sub: int = 0) -> bytes:
    """The row key of a put at this revision."""
    return main.to_bytes(8, "big") + sub_suffix(sub)


def first_row(main: int) -> bytes:
    """A string above every row key before `main`, and not above any of `main`."""
    return main.to_bytes(8, "big")


def main_of(row: bytes) -> int:
    """The main revision of a row key."""
    return int.from_bytes(row[:8], "big")


def is_tombstone(row: bytes) -> bool:
    """True for the row key of a deletion."""
    return len(row) == TOMBSTONE_ROW_BYTES


# Main revision (an int64 that is not negative), `_`, sub revision, perhaps `t`.
_ROW = re.compile(rb"[\x00-\x7f].{7}_[\x00-\x7f].{7}t?", re.DOTALL)


def check_row(row: bytes) -> None:
    """Refuse what a damaged or foreign file may hold in place of a row key. Cost: 0.25 µs.

    Raises:
        CorruptionError: this is no row key.
    """
    if not _ROW.fullmatch(row):
        raise CorruptionError(
            "bucket key",
            None,
            f"{row.hex()} is no revision",
            "restore this member from a snapshot or from its peers",
        )
