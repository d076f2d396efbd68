"""Ranges of keys: the `range_end` that stands for "every key that begins with", and the like."""

from __future__ import annotations

EVERYTHING_AFTER = b"\x00"
"""As `range_end`: every key from the first one on. As key too: every key there is."""


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` for every key that begins with `prefix`.

    It is the smallest key above all of them: the prefix with its last byte that is not 0xff counted
    up and what follows that byte dropped. A prefix of nothing but 0xff has none above it.
    """
    kept = prefix.rstrip(b"\xff")
    if not kept:
        return EVERYTHING_AFTER
    return kept[:-1] + bytes([kept[-1] + 1])


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """Key and `range_end` for every key that begins with `prefix`; all keys for an empty one."""
    return (prefix, prefix_end(prefix)) if prefix else (EVERYTHING_AFTER, EVERYTHING_AFTER)


def from_key_range(key: bytes) -> tuple[bytes, bytes]:
    """Key and `range_end` for `key` and every key above it; all keys for an empty one."""
    return key or EVERYTHING_AFTER, EVERYTHING_AFTER
