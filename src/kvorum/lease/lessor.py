"""All leases of a member: granted and revoked through the log, expired by the leader alone.

Place: the server applies the grants, revocations and checkpoints of the log here, on every member;
`mvcc` says which keys are attached. What is not in the log (renewals, and that a lease has run
out) is known to the leader only: it asks `expired` and `due_checkpoints` now and then, and
proposes what they say.

    follower ──promote──▶ leader: leases have an expiry, counted from now
    leader  ──demote───▶ follower: they have none

A new leader cannot know when leases were renewed last, so it gives each its full TTL again, or
what the last checkpoint left of it. Without checkpoints a cluster whose leader changes often would
keep a lease for ever.

Invariants
    I1  on a leader each lease has an entry in the expiry heap, at `lease.expiry_due`
    I2  `lease.expiry_due <= lease.expiry`, unless its revocation has been asked for

Source: shared facts, client.md section 8, disk.md section 5; edge cases as stock 3.5.1 answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING, Final, final

from kvorum.errors import (
    LeaseExistsError,
    LeaseNotFoundError,
    LeaseTtlTooLargeError,
    NotLeaderError,
)
from kvorum.histogram import Histogram, doubling
from kvorum.lease.due import DueHeap, spread_expiries
from kvorum.lease.lease import TTL_S_MAX, Lease, LeaseCheckpoint, decode
from kvorum.storage.buckets import LEASE, lease_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvorum.storage import Backend

TTL_SECONDS: Final = doubling(1.0, 24)
"""Buckets of granted TTLs."""

REVOKES_PER_S_MAX: Final = 1_000
"""How many expired leases a leader is to revoke in a second. The owner's calls of `expired` keep
to it: a limit of 500 every 500 ms."""

CHECKPOINTS_PER_BATCH_MAX: Final = 1_000
"""Checkpoints in one log entry."""

CHECKPOINT_INTERVAL_S: Final = 300.0
RETRY_S: Final = 3.0
"""A lease whose revocation has been asked for is named again after this time if it still exists."""

# After `promote` no more leases than this run out in one second, which leaves room for those that
# were going to run out then anyway.
_PROMOTED_EXPIRIES_PER_S: Final = REVOKES_PER_S_MAX * 3 // 4
# Entries looked at in one call: renewed leases come up too early, and 100,000 of them at once
# would hold the loop for 0.1 s.
_LOOKS_MAX: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LessorStatistics:
    """Counts since the start, but for the first three."""

    leases: int
    keys: int
    """Keys that are attached to a lease. Costs a walk over all leases."""
    heap_entries: int
    granted_total: int
    revoked_total: int
    renewed_total: int


@final
class Lessor:
    """See the module. One thread owns it."""

    def __init__(
        self,
        backend: Backend,
        clock: Callable[[], float],
        min_ttl_s: int,
        *,
        checkpoint_interval_s: float | None = CHECKPOINT_INTERVAL_S,
        checkpoint_persist: bool = False,
        retry_s: float = RETRY_S,
    ) -> None:
        """Read the leases back from `backend`, as a follower.

        Args:
            backend: where rows are kept.
            clock: monotonic time in seconds.
            min_ttl_s: shorter TTLs are raised to this; see `min_ttl_s()`.
            checkpoint_interval_s: how long a lease may go without a renewal before what is left
                of it is checkpointed, and then again; None: no checkpoints.
            checkpoint_persist: what a checkpoint says is written to the lease's row as well, so
                that it outlives the log entry.
            retry_s: see `RETRY_S`.

        Raises:
            CorruptionError: the bucket holds what cannot be.
        """
        assert min_ttl_s > 0
        self.checkpoint_persist = checkpoint_persist
        self.delete_keys: Callable[[Sequence[bytes]], None] | None = None
        self._clock = clock
        self._min_ttl_s = min_ttl_s
        self._checkpoint_interval_s = (
            inf if checkpoint_interval_s is None else checkpoint_interval_s
        )
        self._retry_s = retry_s
        self._granted_total = self._revoked_total = self._renewed_total = 0
        self.ttls_s = Histogram(TTL_SECONDS)
        """Of the leases granted."""
        self.reload(backend)

    def reload(self, backend: Backend) -> None:
        """Forget everything and read the leases back from `backend` (a leader's snapshot came).

        The lessor is a follower's then. The store attaches the keys anew.

        Raises:
            CorruptionError: the bucket holds what cannot be.
        """
        self._backend = backend
        self._leases: dict[int, Lease] = {}
        for rows in backend.scan(LEASE):
            for key, value in rows:
                lease = decode(key, value, min_ttl_s=self._min_ttl_s)
                self._leases[lease.id] = lease
        self._expiries = DueHeap(self._is_expiry_current)
        self._checkpoints = DueHeap(self._is_checkpoint_current)
        self._resets: dict[int, None] = {}
        self.is_leader = False

    # --- applied from the log, on every member

    def grant(self, lease_id: int, ttl_s: int) -> Lease:
        """Make a lease. A TTL below the least one, 0 or negative too, is raised.

        Raises:
            LeaseNotFoundError: the id is 0. The server chooses an id before it proposes.
            LeaseTtlTooLargeError: the TTL is above `TTL_S_MAX`.
            LeaseExistsError: there is a lease with this id, expired perhaps but not revoked yet.
        """
        if lease_id == 0:
            raise LeaseNotFoundError
        if ttl_s > TTL_S_MAX:
            raise LeaseTtlTooLargeError
        if lease_id in self._leases:
            raise LeaseExistsError
        lease = Lease(lease_id, max(ttl_s, self._min_ttl_s))
        self._leases[lease_id] = lease
        self._backend.put(LEASE, lease_key(lease_id), lease.encode())
        if self.is_leader:
            now = self._clock()
            lease.expiry = lease.expiry_due = now + lease.ttl
            self._expiries.push(lease.expiry_due, lease_id)
            self._plan_checkpoint(lease, now)
        self._granted_total += 1
        self.ttls_s.observe(lease.ttl)
        return lease

    def revoke(self, lease_id: int) -> None:
        """Delete the attached keys, in the order of keys and in one revision, then the lease.

        Raises:
            LeaseNotFoundError: there is no such lease; nothing was changed.
        """
        lease = self._lease(lease_id)
        if lease.keys:
            assert self.delete_keys is not None, "the server has not said how to delete keys"
            self.delete_keys(sorted(lease.keys))
            assert not lease.keys, f"keys of {lease} were not detached by their deletion"
        del self._leases[lease_id]
        self._resets.pop(lease_id, None)
        self._backend.delete(LEASE, lease_key(lease_id))
        self._expiries.trim(len(self._leases))
        self._checkpoints.trim(len(self._leases))
        self._revoked_total += 1

    def checkpoint(self, lease_id: int, remaining_s: int) -> None:
        """Note what a future leader is to leave of a lease; 0: its full TTL.

        Raises:
            LeaseNotFoundError: there is no such lease.
        """
        lease = self._lease(lease_id)
        lease.remaining_s = max(remaining_s, 0)
        if self.checkpoint_persist:
            self._backend.put(LEASE, lease_key(lease_id), lease.encode())
        if self.is_leader:
            now = self._clock()
            if lease.remaining_s and lease.expiry - now > lease.remaining_s:
                self._resets[lease_id] = None  # renewed while the checkpoint was on its way
            self._plan_checkpoint(lease, now)

    # --- the leader's part

    def promote(self, extend_s: float) -> None:
        """Lead from now on: every lease runs from now, and `extend_s` longer.

        Leases that would run out by thousands in one second are spread over more, because they
        could not be revoked as fast.
        """
        self.is_leader = True
        self._resets.clear()
        now = self._clock()
        for lease in self._leases.values():
            lease.expiry = now + (lease.remaining_s or lease.ttl) + extend_s
        if len(self._leases) >= REVOKES_PER_S_MAX:
            spread_expiries(self._leases.values(), _PROMOTED_EXPIRIES_PER_S)
        for lease in self._leases.values():
            lease.expiry_due = lease.expiry
        self._expiries.replace((lease.expiry, lease.id) for lease in self._leases.values())
        self._checkpoints.replace(())
        for lease in self._leases.values():
            self._plan_checkpoint(lease, now)

    def demote(self) -> None:
        """Another member leads, or none: nothing expires here."""
        self.is_leader = False
        self._resets.clear()
        self._expiries.replace(())
        self._checkpoints.replace(())

    def renew(self, lease_id: int) -> int:
        """Let a lease run its TTL from now on. Returns the TTL, as granted.

        When `has_resets` is true afterwards, what `due_checkpoints` gives is to be applied from the
        log before the client is answered: else a leader that comes later might go by a checkpoint
        from before the renewal and end the lease too early.

        Raises:
            NotLeaderError: the leader has to be asked.
            LeaseNotFoundError: there is no such lease, or it has run out.
        """
        if not self.is_leader:
            raise NotLeaderError
        lease = self._leases.get(lease_id)
        now = self._clock()
        if lease is None or lease.expiry <= now:
            raise LeaseNotFoundError
        lease.expiry = expiry = now + lease.ttl
        if expiry < lease.expiry_due:  # it had been extended beyond its TTL by `promote`
            lease.expiry_due = expiry
            self._expiries.push(expiry, lease_id)
        if lease.remaining_s:
            self._resets[lease_id] = None
        if lease.checkpoint_due == inf and lease.ttl > self._checkpoint_interval_s:
            self._plan_checkpoint(lease, now)
        self._renewed_total += 1
        return lease.ttl

    def expired(self, limit: int) -> list[int]:
        """Up to `limit` leases that have run out and are to be revoked, soonest expiry first.

        A lease is named again only after `retry_s`. When there are more, the next call has them.
        Cost: 0.2 µs when there is none.
        """
        if not self._expiries.is_due(now := self._clock()):
            return []
        found: list[int] = []
        looks = 0
        while len(found) < limit and looks < _LOOKS_MAX and self._expiries.is_due(now):
            looks += 1
            lease_id = self._expiries.pop()
            if lease_id is None:
                continue
            lease = self._leases[lease_id]
            if lease.expiry <= now:
                found.append(lease_id)
                lease.expiry_due = now + self._retry_s
            else:
                lease.expiry_due = lease.expiry
            self._expiries.push(lease.expiry_due, lease_id)
        return found

    @property
    def has_due_expiries(self) -> bool:
        """Whether `expired` has anything to look at. Renewed leases come up too early."""
        return self._expiries.is_due(self._clock())

    @property
    def has_resets(self) -> bool:
        """Whether a renewal made a checkpoint untrue; see `renew`."""
        return bool(self._resets)

    def due_checkpoints(self, limit: int = CHECKPOINTS_PER_BATCH_MAX) -> list[LeaseCheckpoint]:
        """Up to `limit` checkpoints to propose: those that renewals made untrue come first.

        A lease that is renewed within the interval is never checkpointed.
        """
        found: list[LeaseCheckpoint] = []
        while self._resets and len(found) < limit:
            found.append(LeaseCheckpoint(self._resets.popitem()[0], 0))
        now = self._clock()
        looks = 0
        while len(found) < limit and looks < _LOOKS_MAX and self._checkpoints.is_due(now):
            looks += 1
            lease_id = self._checkpoints.pop()
            if lease_id is None:
                continue
            lease = self._leases[lease_id]
            unrenewed_s = lease.ttl - (lease.expiry - now)
            if unrenewed_s < self._checkpoint_interval_s:
                self._plan_checkpoint(lease, now - unrenewed_s)
            elif lease.expiry > now:
                found.append(LeaseCheckpoint(lease_id, ceil(lease.expiry - now)))
                self._plan_checkpoint(lease, now)
        return found

    # --- questions

    def _lease(self, lease_id: int) -> Lease:
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseNotFoundError
        return lease

    def exists(self, lease_id: int) -> bool:
        return lease_id in self._leases

    def time_to_live(self, lease_id: int) -> tuple[int, int]:
        """`(granted, remaining)` in whole seconds. Remaining is below 0 a second after the end.

        Raises:
            NotLeaderError: the leader has to be asked.
            LeaseNotFoundError: there is no such lease.
        """
        if not self.is_leader:
            raise NotLeaderError
        lease = self._lease(lease_id)
        return lease.ttl, int(lease.expiry - self._clock())

    def keys(self, lease_id: int) -> list[bytes]:
        """The attached keys, in their order.

        Raises:
            LeaseNotFoundError: there is no such lease.
        """
        lease = self._lease(lease_id)
        return sorted(lease.keys or ())

    def leases(self) -> list[Lease]:
        """All leases, the one that expires soonest first. On a follower, in no set order."""
        return sorted(self._leases.values(), key=lambda lease: lease.expiry)

    def statistics(self) -> LessorStatistics:
        return LessorStatistics(
            leases=len(self._leases),
            keys=sum(len(lease.keys) for lease in self._leases.values() if lease.keys),
            heap_entries=len(self._expiries) + len(self._checkpoints),
            granted_total=self._granted_total,
            revoked_total=self._revoked_total,
            renewed_total=self._renewed_total,
        )

    # --- keys, as the store reports them

    def attach(self, lease_id: int, key: bytes) -> None:
        """A key belongs to a lease now. The caller has detached it from another one.

        Raises:
            LeaseNotFoundError: there is no such lease.
        """
        lease = self._lease(lease_id)
        if lease.keys is None:
            lease.keys = {key}
        else:
            lease.keys.add(key)

    def detach(self, lease_id: int, key: bytes) -> None:
        """A key no longer belongs to a lease. Nothing happens if either is gone already."""
        lease = self._leases.get(lease_id)
        if lease is not None and lease.keys is not None:
            lease.keys.discard(key)
            if not lease.keys:
                lease.keys = None

    # --- schedules

    def _is_expiry_current(self, due: float, lease_id: int) -> bool:
        lease = self._leases.get(lease_id)
        return lease is not None and lease.expiry_due == due

    def _is_checkpoint_current(self, due: float, lease_id: int) -> bool:
        lease = self._leases.get(lease_id)
        return lease is not None and lease.checkpoint_due == due

    def _plan_checkpoint(self, lease: Lease, since: float) -> None:
        """Look at a lease one interval after `since`, if it will not have expired by then."""
        due = since + self._checkpoint_interval_s
        if due < lease.expiry:
            lease.checkpoint_due = due
            self._checkpoints.push(due, lease.id)
        else:
            lease.checkpoint_due = inf
