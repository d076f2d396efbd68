from __future__ import annotations

from pathlib import Path

import pytest

from kvorum.errors import (
    CorruptionError,
    LeaseExistsError,
    LeaseNotFoundError,
    LeaseTtlTooLargeError,
    NotLeaderError,
)
from kvorum.lease import Lessor
from kvorum.mvcc.store import Store
from kvorum.proto.lease_pb2 import Lease as StoredLease
from kvorum.storage import Backend
from kvorum.storage.buckets import LEASE, lease_key

from .leasing import MIN_TTL_S, Bench, Clock, bench

HOUR_S = 3_600


# --- granting


@pytest.mark.parametrize("asked", [0, -5, 1, 2, -(2**63)])
def test_a_ttl_below_the_least_is_raised(asked: int) -> None:
    """Checked on 3.5.1 with each of these."""
    with bench() as b:
        assert b.lessor.grant(1, asked).ttl == MIN_TTL_S
        assert b.lessor.time_to_live(1) == (2, 2)


@pytest.mark.parametrize("asked", [3, 9_000_000_000])
def test_a_ttl_is_granted_as_asked(asked: int) -> None:
    with bench() as b:
        assert b.lessor.grant(1, asked).ttl == asked


@pytest.mark.parametrize("asked", [9_000_000_001, 2**63 - 1])
def test_a_ttl_that_is_too_large_is_refused_even_for_a_taken_id(asked: int) -> None:
    """The order of the checks is that of 3.5.1."""
    with bench() as b:
        b.lessor.grant(1, 10)
        with pytest.raises(LeaseTtlTooLargeError):
            b.lessor.grant(1, asked)
        with pytest.raises(LeaseTtlTooLargeError):
            b.lessor.grant(2, asked)
        assert b.ids() == [1]


def test_an_id_is_granted_once() -> None:
    with bench() as b:
        b.lessor.grant(-9, 10)
        with pytest.raises(LeaseExistsError):
            b.lessor.grant(-9, 20)
        assert b.lessor.time_to_live(-9) == (10, 10)
        b.lessor.revoke(-9)
        assert b.lessor.grant(-9, 20).ttl == 20


def test_id_0_is_no_lease() -> None:
    with bench() as b, pytest.raises(LeaseNotFoundError):
        b.lessor.grant(0, 10)


def test_a_lease_that_ran_out_keeps_its_id_until_it_is_revoked() -> None:
    with bench() as b:
        b.lessor.grant(1, 10)
        b.clock.advance(60)
        assert b.lessor.exists(1)
        with pytest.raises(LeaseExistsError):
            b.lessor.grant(1, 10)


# --- the life of a lease


def test_remaining_time_is_told_in_whole_seconds() -> None:
    """Checked on 3.5.1: it counts down from one below the TTL, and stays until revoked."""
    with bench() as b:
        b.lessor.grant(1, 2)
        seen = []
        for _ in range(5):
            b.clock.advance(0.7)
            seen.append(b.remaining(1))
        assert seen == [1, 0, 0, 0, -1]


def test_a_renewed_lease_runs_its_ttl_again() -> None:
    with bench() as b:
        b.lessor.grant(1, 10)
        b.clock.advance(9)
        assert b.lessor.renew(1) == 10
        b.clock.advance(9.5)
        assert b.lessor.expired(10) == []
        assert b.remaining(1) == 0
        b.clock.advance(0.5)
        assert b.lessor.expired(10) == [1]


@pytest.mark.parametrize("lease_id", [0, 2, -1])
def test_an_unknown_lease_is_not_found(lease_id: int) -> None:
    with bench() as b:
        b.lessor.grant(1, 10)
        for call in (
            b.lessor.renew,
            b.lessor.revoke,
            b.lessor.time_to_live,
            b.lessor.keys,
            lambda i: b.lessor.checkpoint(i, 5),
        ):
            with pytest.raises(LeaseNotFoundError):
                call(lease_id)
        assert not b.lessor.exists(lease_id)


def test_a_lease_that_ran_out_cannot_be_renewed() -> None:
    with bench() as b:
        b.lessor.grant(1, 10)
        b.clock.advance(10)
        with pytest.raises(LeaseNotFoundError):
            b.lessor.renew(1)
        assert b.lessor.expired(10) == [1]


def test_expired_leases_are_named_soonest_first_and_once() -> None:
    with bench(retry_s=3) as b:
        for lease_id, ttl in ((1, 30), (2, 10), (3, 20), (4, 99)):
            b.lessor.grant(lease_id, ttl)
        b.clock.advance(30)
        assert b.lessor.expired(2) == [2, 3]
        assert b.lessor.expired(2) == [1]
        assert b.lessor.expired(2) == []
        b.lessor.revoke(2)
        b.clock.advance(3)
        assert b.lessor.expired(9) == [1, 3]


def test_leases_are_listed_soonest_expiry_first() -> None:
    with bench() as b:
        for lease_id, ttl in ((1, 30), (2, 10), (3, 15)):
            b.lessor.grant(lease_id, ttl)
        assert b.ids() == [2, 3, 1]
        b.clock.advance(9)
        b.lessor.renew(2)
        assert b.ids() == [3, 2, 1]


def test_many_renewed_leases_that_come_up_together_do_not_hold_the_loop() -> None:
    with bench() as b:
        for lease_id in range(1, 6_001):
            b.lessor.grant(lease_id, 10)
        b.lessor.grant(9_999, 11)
        b.clock.advance(9)
        for lease_id in range(1, 6_001):
            b.lessor.renew(lease_id)
        b.clock.advance(2)
        assert b.lessor.expired(10) == []  # looked at a bounded number, all of them early
        assert b.lessor.expired(10) == [9_999]


# --- bounded memory


def test_renewals_do_not_pile_up() -> None:
    with bench() as b:
        b.lessor.grant(1, HOUR_S)
        before = b.lessor.statistics().heap_entries
        for _ in range(1_000):
            b.clock.advance(1)
            b.lessor.renew(1)
        assert b.lessor.statistics().heap_entries == before


def test_leases_that_were_revoked_early_are_not_remembered() -> None:
    with bench() as b:
        for _ in range(10_000):
            b.lessor.grant(1, 9_000_000_000)
            b.lessor.revoke(1)
        assert b.lessor.statistics().heap_entries < 3_000
        assert b.lessor.statistics().granted_total == 10_000
        assert b.lessor.statistics().revoked_total == 10_000


# --- leaders


def test_a_follower_has_no_expiries() -> None:
    with bench(leader=False) as b:
        b.lessor.grant(1, 10)
        b.clock.advance(HOUR_S)
        assert b.lessor.expired(10) == []
        assert b.lessor.due_checkpoints() == []
        assert b.ids() == [1]
        for call in (b.lessor.renew, b.lessor.time_to_live):
            with pytest.raises(NotLeaderError):
                call(1)


def test_a_new_leader_gives_every_lease_its_ttl_and_one_extension() -> None:
    with bench(leader=False) as b:
        b.lessor.grant(1, 10)
        b.clock.advance(HOUR_S)
        b.lessor.promote(1.5)
        b.clock.advance(11.4)
        assert b.lessor.expired(10) == []
        b.clock.advance(0.1)
        assert b.lessor.expired(10) == [1]


def test_a_renewal_after_an_extension_counts_from_now() -> None:
    with bench(leader=False) as b:
        b.lessor.grant(1, 10)
        b.lessor.promote(100)
        assert b.remaining(1) == 110
        b.lessor.renew(1)
        b.clock.advance(10)
        assert b.lessor.expired(10) == [1]
        assert b.lessor.expired(10) == []


def test_a_leader_that_steps_down_forgets_expiries() -> None:
    with bench() as b:
        b.lessor.grant(1, 10)
        b.lessor.demote()
        b.clock.advance(60)
        assert b.lessor.expired(10) == []
        b.lessor.promote(0)
        assert b.remaining(1) == 10


def test_leases_that_would_all_expire_at_once_are_spread_by_a_new_leader() -> None:
    with bench(leader=False) as b:
        for lease_id in range(1, 3_001):
            b.lessor.grant(lease_id, 10)
        b.lessor.promote(1)
        b.clock.advance(11)
        counts = []
        while sum(counts) < 3_000:
            due = b.lessor.expired(3_000)
            for lease_id in due:
                b.lessor.revoke(lease_id)
            counts.append(len(due))
            b.clock.advance(0.5)
        assert max(counts) <= 376  # 750 a second, and both ends of half a second
        assert len(counts) == 9


def test_a_few_leases_are_not_put_off_by_a_new_leader() -> None:
    with bench(leader=False) as b:
        for lease_id in range(1, 1_000):
            b.lessor.grant(lease_id, 10)
        b.lessor.promote(0)
        b.clock.advance(10)
        assert len(b.lessor.expired(1_000)) == 999


# --- checkpoints


def test_a_lease_that_is_not_renewed_is_checkpointed_at_every_interval() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 1_000)
        b.lessor.grant(2, 300)  # over before it would be worth it
        b.clock.advance(299.5)
        assert b.apply_checkpoints() == []
        b.clock.advance(0.9)
        assert b.apply_checkpoints() == [(1, 700)]
        assert b.apply_checkpoints() == []
        b.clock.advance(300)
        assert b.apply_checkpoints() == [(1, 400)]


def test_a_checkpoint_that_got_lost_is_made_again() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 1_000)
        b.clock.advance(300)
        assert len(b.lessor.due_checkpoints()) == 1  # and not applied
        assert b.lessor.due_checkpoints() == []
        b.clock.advance(300)
        assert b.apply_checkpoints() == [(1, 400)]


def test_a_lease_that_is_renewed_is_not_checkpointed() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 1_000)
        for _ in range(20):
            b.clock.advance(200)
            b.lessor.renew(1)
            assert b.apply_checkpoints() == []
        b.clock.advance(300)
        assert b.apply_checkpoints() == [(1, 700)]


def test_a_lease_that_had_little_left_is_checkpointed_again_once_renewed() -> None:
    with bench(leader=False, checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 1_000)
        b.lessor.checkpoint(1, 100)
        b.lessor.promote(0)
        b.lessor.renew(1)
        assert b.apply_checkpoints() == [(1, 0)]
        b.clock.advance(300)
        assert b.apply_checkpoints() == [(1, 700)]


def test_the_interval_counts_from_the_last_renewal() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 1_000)
        b.clock.advance(200)
        b.lessor.renew(1)
        b.clock.advance(150)
        assert b.apply_checkpoints() == []
        b.clock.advance(150)
        assert b.apply_checkpoints() == [(1, 700)]


def test_a_renewal_after_a_lost_checkpoint_counts_the_interval_anew() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 500)
        b.clock.advance(300)
        assert len(b.lessor.due_checkpoints()) == 1  # and not applied
        b.clock.advance(100)
        b.lessor.renew(1)
        b.clock.advance(300)
        assert b.apply_checkpoints() == [(1, 200)]


def test_a_lease_that_ran_out_is_not_checkpointed() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 301)
        b.clock.advance(301)
        assert b.lessor.due_checkpoints() == []


def test_a_renewal_while_a_checkpoint_is_on_its_way_takes_it_back() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 1_000)
        b.clock.advance(300)
        (checkpoint,) = b.lessor.due_checkpoints()
        b.clock.advance(1)
        b.lessor.renew(1)
        b.lessor.checkpoint(*checkpoint)
        assert b.apply_checkpoints() == [(1, 0)]
        assert b.apply_checkpoints() == []


def test_what_is_owed_for_a_renewal_ends_with_the_lease_or_the_leader() -> None:
    with bench(leader=False) as b:
        for lease_id in (1, 2):
            b.lessor.grant(lease_id, 1_000)
            b.lessor.checkpoint(lease_id, 700)
        b.lessor.promote(0)
        b.lessor.renew(1)
        b.lessor.revoke(1)
        assert not b.lessor.has_resets
        b.lessor.renew(2)
        b.lessor.demote()
        assert not b.lessor.has_resets
        b.lessor.promote(0)
        b.lessor.renew(2)
        b.lessor.promote(0)
        assert not b.lessor.has_resets


def test_becoming_leader_again_and_again_does_not_pile_up() -> None:
    with bench(checkpoint_interval_s=300) as b:
        b.lessor.grant(1, 1_000)
        before = b.lessor.statistics().heap_entries
        for _ in range(10):
            b.lessor.promote(1)
        assert b.lessor.statistics().heap_entries == before
        b.lessor.demote()
        assert b.lessor.statistics().heap_entries == 0


def test_a_checkpoint_below_0_is_none() -> None:
    with bench(leader=False) as b:
        b.lessor.grant(1, 1_000)
        b.lessor.checkpoint(1, -5)
        b.lessor.promote(0)
        assert b.remaining(1) == 1_000


def test_a_checkpoint_bounds_what_a_new_leader_gives() -> None:
    with bench(leader=False) as b:
        b.lessor.grant(1, 1_000)
        b.lessor.checkpoint(1, 700)
        b.lessor.promote(1)
        assert b.lessor.time_to_live(1) == (1_000, 701)
        b.clock.advance(701)
        assert b.lessor.expired(10) == [1]


def test_a_renewal_takes_its_checkpoint_back_through_the_log() -> None:
    with bench(leader=False) as b:
        b.lessor.grant(1, 1_000)
        b.lessor.checkpoint(1, 700)
        b.lessor.promote(0)
        assert b.lessor.renew(1) == 1_000
        assert b.lessor.has_resets
        assert b.apply_checkpoints() == [(1, 0)]
        assert not b.lessor.has_resets
        b.lessor.renew(1)
        assert not b.lessor.has_resets
        b.lessor.demote()
        b.lessor.promote(0)
        assert b.remaining(1) == 1_000


def test_a_renewal_asks_again_until_its_checkpoint_was_taken_back() -> None:
    with bench(leader=False) as b:
        b.lessor.grant(1, 1_000)
        b.lessor.checkpoint(1, 700)
        b.lessor.promote(0)
        b.lessor.renew(1)
        assert len(b.lessor.due_checkpoints()) == 1  # proposed, and lost
        b.lessor.renew(1)
        assert b.apply_checkpoints() == [(1, 0)]


def test_checkpoints_come_in_batches() -> None:
    with bench(checkpoint_interval_s=300) as b:
        for lease_id in range(1, 6):
            b.lessor.grant(lease_id, 1_000)
        b.clock.advance(300)
        assert [len(b.lessor.due_checkpoints(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_checkpoints_can_be_off() -> None:
    with bench(checkpoint_interval_s=None) as b:
        b.lessor.grant(1, 9_000_000_000)
        b.clock.advance(10 * HOUR_S)
        b.lessor.renew(1)
        assert b.lessor.due_checkpoints() == []
        assert b.lessor.statistics().heap_entries == 1


@pytest.mark.parametrize("persist", [False, True])
def test_a_checkpoint_outlives_a_restart_when_it_is_persisted(persist: bool) -> None:
    with bench(checkpoint_persist=persist) as b:
        b.lessor.grant(1, 1_000)
        b.lessor.checkpoint(1, 700)
        b.restart()
        b.lessor.promote(0)
        assert b.remaining(1) == (700 if persist else 1_000)


# --- restarts


def test_leases_are_there_after_a_restart() -> None:
    with bench() as b:
        for lease_id, ttl in ((1, 10), (-7, 20), (2**63 - 1, 30), (5, 40)):
            b.lessor.grant(lease_id, ttl)
        b.lessor.revoke(5)
        b.backend.commit()
        b.restart()
        assert not b.lessor.is_leader
        b.lessor.promote(0)
        assert b.ids() == [1, -7, 2**63 - 1]
        assert b.lessor.time_to_live(-7) == (20, 20)


def test_rows_are_those_of_etcd() -> None:
    with bench() as b:
        b.lessor.grant(-2, 10)
        rows = b.backend.range(LEASE, b"", None)
        assert rows == [(b"\xff" * 7 + b"\xfe", StoredLease(ID=-2, TTL=10).SerializeToString())]


def test_a_damaged_row_stops_the_start() -> None:
    with bench() as b:
        b.backend.put(LEASE, lease_key(1), b"\xff")
        with pytest.raises(CorruptionError, match="0000000000000001"):
            b.restart()


def test_a_replaced_database_replaces_the_leases(tmp_path: Path) -> None:
    with bench() as b, Backend.open(tmp_path / "db", fsync=False) as other:
        b.lessor.grant(1, 10)
        b.lessor.attach(1, b"k")
        Lessor(other, Clock(), MIN_TTL_S).grant(2, 20)
        b.lessor.reload(other)
        assert b.ids() == [2]
        assert b.lessor.keys(2) == []
        b.clock.advance(60)
        assert b.lessor.expired(10) == []


# --- keys


def with_store(b: Bench) -> Store:
    store = Store(b.backend, b.lessor)

    def delete_keys(keys: object) -> None:
        writer = store.begin()
        for key in keys:
            writer.delete_range(key, None)
        writer.end()

    b.lessor.delete_keys = delete_keys
    return store


def put(store: Store, key: bytes, lease_id: int = 0) -> None:
    writer = store.begin()
    writer.put(key, b"v", lease_id)
    writer.end()


def test_a_revoked_lease_takes_its_keys_along_in_one_revision_and_in_order() -> None:
    with bench() as b:
        store = with_store(b)
        told = []
        store.on_events = lambda revision, events: told.append((revision, [e.key for e in events]))
        b.lessor.grant(1, 10)
        for key in (b"z", b"a", b"m"):
            put(store, key, 1)
        put(store, b"other")
        b.lessor.revoke(1)
        assert told[-1] == (6, [b"a", b"m", b"z"])
        assert store.kv_at(b"a", 6) is None
        assert store.kv_at(b"other", 6) is not None
        assert not b.lessor.exists(1)
        assert b.backend.range(LEASE, b"", None) == []


def test_a_revoked_lease_without_keys_makes_no_revision() -> None:
    with bench() as b:
        store = with_store(b)
        b.lessor.grant(1, 10)
        b.lessor.revoke(1)
        assert store.revision == 1


def test_a_key_belongs_to_the_lease_of_its_last_put() -> None:
    with bench() as b:
        store = with_store(b)
        b.lessor.grant(1, 10)
        b.lessor.grant(2, 10)
        put(store, b"moved", 1)
        put(store, b"freed", 1)
        put(store, b"deleted", 1)
        put(store, b"kept", 1)
        put(store, b"moved", 2)
        put(store, b"freed")
        writer = store.begin()
        writer.delete_range(b"deleted", None)
        writer.end()
        assert (b.lessor.keys(1), b.lessor.keys(2)) == ([b"kept"], [b"moved"])
        assert b.lessor.statistics().keys == 2


def test_keys_are_attached_again_after_a_restart() -> None:
    with bench() as b:
        store = with_store(b)
        b.lessor.grant(1, 10)
        put(store, b"k", 1)
        b.restart()
        with_store(b)
        assert b.lessor.keys(1) == [b"k"]


def test_keys_are_attached_to_leases_that_exist_alone() -> None:
    with bench() as b:
        with pytest.raises(LeaseNotFoundError):
            b.lessor.attach(9, b"k")
        b.lessor.detach(9, b"k")
        assert b.lessor.statistics().keys == 0


def test_a_lease_whose_last_key_goes_takes_no_more_memory_than_before() -> None:
    with bench() as b:
        lease = b.lessor.grant(1, 10)
        b.lessor.attach(1, b"k")
        b.lessor.detach(1, b"other")
        assert b.lessor.keys(1) == [b"k"]
        b.lessor.detach(1, b"k")
        b.lessor.detach(1, b"k")
        assert lease.keys is None
