"""Hashes of a member's keys, made without holding up its clients."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from kvorum.mvcc.hashing import HashKV
from kvorum.mvcc.store import Store
from kvorum.server.clock import monotonic_s
from kvorum.server.metrics.counters import MemberCounters


class Hashed(NamedTuple):
    """A hash of the keys at `revision`."""

    value: int
    compact_revision: int
    revision: int


async def hash_keys(store: Store, counters: MemberCounters, revision: int) -> Hashed:
    """The hash of the keys at a revision; 0: the newest.

    Of a revision that was compacted it is the hash that the compaction has made, where it has made
    one: what other members compare with theirs.

    Raises:
        CompactedError, FutureRevisionError
    """
    made = store.compaction_hashes.at(revision)
    if made is not None:
        return Hashed(made.value, made.compact_revision, made.revision)
    begun_s = monotonic_s()
    job = HashKV(store, revision)
    try:
        while not job.step():
            await _next_turn()
            if job.is_void:
                return await hash_keys(store, counters, revision)
    finally:
        job.close()
    counters.hash_kv_s.observe(monotonic_s() - begun_s)
    return Hashed(job.result(), job.compact_revision, job.revision)


async def _next_turn() -> None:
    """Let the loop serve others before the next step."""
    await asyncio.sleep(0)
