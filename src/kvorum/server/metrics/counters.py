"""What a member counts that has no better place: plain attributes, changed where it happens.

What the store, the leases and the files do is counted by themselves (`Store.counters`,
`Lessor.statistics`, `Wal.figures`, `Backend.figures`, …). `collect` puts everything together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvorum.histogram import SECONDS, SHORT_SECONDS, Histogram
from kvorum.server.metrics.families import (
    HASH_SECONDS,
    LONG_SECONDS,
    SNAPSHOT_SECONDS,
    TRANSFER_SECONDS,
)
from kvorum.server.metrics.family import Values


class ApplyTimes(dict[Any, Histogram]):
    """How long requests of one outcome took to be applied, by the class of the request.

    A look-up of a class that was seen before takes 30 ns.
    """

    def __missing__(self, kind: Any) -> Histogram:
        histogram = self[kind] = Histogram(SHORT_SECONDS)
        return histogram


class MemberCounters:
    """See the module. Counts start with the process."""

    __slots__ = (
        "applied",
        "db_snapshot_s",
        "defrag_s",
        "defrags_under_way",
        "hash_kv_s",
        "hash_s",
        "heartbeat_send_failures",
        "last_leader",
        "leader_changes",
        "promote_failures",
        "promote_successes",
        "ranges_failed_s",
        "ranges_s",
        "reads_failed",
        "refused",
        "slow_applies",
        "slow_reads",
        "snap_db_fsync_s",
        "snap_db_save_s",
        "snapshots_being_applied",
        "sources",
    )

    def __init__(self) -> None:
        self.leader_changes = 0
        self.last_leader = 0
        self.slow_applies = 0
        """Applies and reads that took longer than `ServerOptions.warning_apply_s`."""
        self.slow_reads = 0
        """Reads that got no index in time."""
        self.reads_failed = 0
        """Reads that found no leader."""
        self.heartbeat_send_failures = 0
        self.promote_successes = 0
        self.promote_failures: dict[str, int] = {}
        """By reason."""
        self.snapshots_being_applied = 0
        self.defrags_under_way = 0
        self.applied = ApplyTimes()
        self.refused = ApplyTimes()
        """As `applied`, of requests that an error was the answer to."""
        self.ranges_s = Histogram(SHORT_SECONDS)
        self.ranges_failed_s = Histogram(SHORT_SECONDS)
        self.hash_s = Histogram(HASH_SECONDS)
        self.hash_kv_s = Histogram(HASH_SECONDS)
        self.defrag_s = Histogram(LONG_SECONDS)
        self.db_snapshot_s = Histogram(SNAPSHOT_SECONDS)
        self.snap_db_fsync_s = Histogram(SECONDS)
        self.snap_db_save_s = Histogram(TRANSFER_SECONDS)
        self.sources: list[Callable[[], Values]] = []
        """Who else has values to show; asked at each scrape."""

    def note_leader(self, leader: int) -> None:
        """Note which leader is known now; 0: none."""
        if leader and leader != self.last_leader:
            self.leader_changes += 1
        self.last_leader = leader
