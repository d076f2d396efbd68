"""Bytes of entries, and cutting a run of entries to a size.

Two measures, both cheap enough for every entry (about 50 ns each):

- *payload*: the bytes of `data` alone; counts against the limits on uncommitted and in-flight
  bytes.
- *encoded*: payload plus an allowance for the fields around it; counts against the limits on one
  message and on one Ready. The allowance is fixed because measuring the varints exactly would cost
  four times as much and no limit is exact to a few bytes.
"""

from __future__ import annotations

from typing import Final

from kvorum.proto.raftpb import Entry

NO_LIMIT: Final = 2**64 - 1
"""A size that is never reached."""

ENTRY_OVERHEAD_BYTES: Final = 24
"""Tag and length in the message, type, term, index, tag and length of the data."""


def payload_bytes(entries: list[Entry]) -> int:
    """Sum of the lengths of the data."""
    return sum([len(entry.data) for entry in entries if entry.data])


def encoded_bytes(entries: list[Entry]) -> int:
    """About what the entries take in a message."""
    return payload_bytes(entries) + ENTRY_OVERHEAD_BYTES * len(entries)


def limit_bytes(entries: list[Entry], bytes_max: int) -> list[Entry]:
    """The longest prefix within `bytes_max` encoded bytes, but at least one entry."""
    if len(entries) <= 1 or bytes_max >= NO_LIMIT or encoded_bytes(entries) <= bytes_max:
        return entries
    total = count = 0
    while total <= bytes_max:
        total += ENTRY_OVERHEAD_BYTES + len(entries[count].data or b"")
        count += 1
    return entries[: max(1, count - 1)]
