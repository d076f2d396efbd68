"""Random grants, renewals, clocks, leaders and restarts, beside a lessor that keeps it simple."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.errors import LeaseExistsError, LeaseNotFoundError, NotLeaderError

from .leasing import MIN_TTL_S, Bench, bench

RETRY_S = 3.0
INTERVAL_S = 50.0

lease_ids = st.integers(1, 5)
keys = st.sampled_from([b"a", b"b", b"c"])
steps = st.one_of(
    st.tuples(st.just("grant"), lease_ids, st.integers(-1, 200)),
    st.tuples(st.just("grant"), lease_ids, st.integers(-1, 200)),
    st.tuples(st.just("renew"), lease_ids),
    st.tuples(st.just("renew"), lease_ids),
    st.tuples(st.just("revoke"), lease_ids),
    st.tuples(st.just("advance"), st.integers(0, 400)),  # quarters of a second
    st.tuples(st.just("advance"), st.integers(0, 400)),
    st.tuples(st.just("expire"), st.integers(1, 5)),
    st.tuples(st.just("expire"), st.integers(1, 5)),
    st.tuples(st.just("checkpoint"), st.booleans()),
    st.tuples(st.just("attach"), lease_ids, keys),
    st.tuples(st.just("detach"), lease_ids, keys),
    st.tuples(st.just("promote"), st.integers(0, 40)),
    st.tuples(st.just("demote")),
    st.tuples(st.just("restart")),
)


@dataclass(slots=True)
class Known:
    """What the model knows of one lease."""

    ttl: int
    remaining: int = 0
    expiry: float = 0.0
    renewed_at: float = 0.0
    asked_at: float = -1e9
    keys: set[bytes] = field(default_factory=set)


class Run:
    def __init__(self, b: Bench) -> None:
        self.b = b
        self.known: dict[int, Known] = {}
        self.is_leader = False
        b.lessor.delete_keys = self.delete_keys
        self.deleting = 0

    @property
    def now(self) -> float:
        return self.b.clock.now

    def delete_keys(self, keys: Any) -> None:
        assert keys == sorted(self.known[self.deleting].keys)
        for key in keys:
            self.b.lessor.detach(self.deleting, key)

    def step(self, kind: str, *args: Any) -> None:
        getattr(self, kind)(*args)
        self.check()

    def grant(self, lease_id: int, ttl: int) -> None:
        if lease_id in self.known:
            with pytest.raises(LeaseExistsError):
                self.b.lessor.grant(lease_id, ttl)
            return
        granted = self.b.lessor.grant(lease_id, ttl).ttl
        assert granted == max(ttl, MIN_TTL_S)
        self.known[lease_id] = Known(granted, 0, self.now + granted, self.now)

    def renew(self, lease_id: int) -> None:
        lease = self.known.get(lease_id)
        if not self.is_leader:
            with pytest.raises(NotLeaderError):
                self.b.lessor.renew(lease_id)
        elif lease is None or lease.expiry <= self.now:
            with pytest.raises(LeaseNotFoundError):
                self.b.lessor.renew(lease_id)
        else:
            assert self.b.lessor.renew(lease_id) == lease.ttl
            assert not lease.remaining or self.b.lessor.has_resets
            lease.expiry, lease.renewed_at = self.now + lease.ttl, self.now

    def revoke(self, lease_id: int) -> None:
        if lease_id not in self.known:
            with pytest.raises(LeaseNotFoundError):
                self.b.lessor.revoke(lease_id)
            return
        self.deleting = lease_id
        self.b.lessor.revoke(lease_id)
        del self.known[lease_id]

    def advance(self, quarters: int) -> None:
        self.b.clock.advance(quarters / 4)

    def expire(self, limit: int) -> None:
        due = {
            lease_id
            for lease_id, lease in self.known.items()
            if self.is_leader and lease.expiry <= self.now and lease.asked_at + RETRY_S <= self.now
        }
        named = self.b.lessor.expired(limit)
        assert len(named) == len(set(named)) == min(limit, len(due))
        assert set(named) <= due
        for lease_id in named:
            self.known[lease_id].asked_at = self.now

    def checkpoint(self, is_lost: bool) -> None:
        for c in self.b.lessor.due_checkpoints():
            lease = self.known[c.lease_id]
            if c.remaining_s == 0:
                assert lease.remaining
            else:
                assert c.remaining_s == ceil(lease.expiry - self.now)
                assert lease.renewed_at + INTERVAL_S <= self.now
            if not is_lost:
                self.b.lessor.checkpoint(c.lease_id, c.remaining_s)
                lease.remaining = c.remaining_s

    def attach(self, lease_id: int, key: bytes) -> None:
        if lease_id in self.known:
            self.b.lessor.attach(lease_id, key)
            self.known[lease_id].keys.add(key)

    def detach(self, lease_id: int, key: bytes) -> None:
        self.b.lessor.detach(lease_id, key)
        if lease_id in self.known:
            self.known[lease_id].keys.discard(key)

    def promote(self, extend_quarters: int) -> None:
        self.b.lessor.promote(extend_quarters / 4)
        self.is_leader = True
        for lease in self.known.values():
            left = lease.remaining or lease.ttl
            lease.expiry = self.now + left + extend_quarters / 4
            lease.renewed_at = lease.expiry - lease.ttl
            lease.asked_at = -1e9

    def demote(self) -> None:
        self.b.lessor.demote()
        self.is_leader = False

    def restart(self) -> None:
        self.b.restart()
        self.b.lessor.delete_keys = self.delete_keys
        self.is_leader = False
        for lease_id, lease in self.known.items():
            for key in lease.keys:
                self.b.lessor.attach(lease_id, key)

    def check(self) -> None:
        lessor = self.b.lessor
        assert set(self.b.ids()) == set(self.known)
        for lease_id, lease in self.known.items():
            assert lessor.keys(lease_id) == sorted(lease.keys)
            if self.is_leader:
                assert lessor.time_to_live(lease_id) == (lease.ttl, int(lease.expiry - self.now))
        if self.is_leader:
            expiries = [self.known[lease_id].expiry for lease_id in self.b.ids()]
            assert expiries == sorted(expiries)


@settings(max_examples=300)
@given(steps=st.lists(steps, max_size=50))
def test_a_lessor_does_what_its_model_does(steps: list[tuple[Any, ...]]) -> None:
    with bench(
        leader=False, checkpoint_interval_s=INTERVAL_S, checkpoint_persist=True, retry_s=RETRY_S
    ) as b:
        run = Run(b)
        for step in steps:
            run.step(*step)
