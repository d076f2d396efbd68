from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kvorum.lease.due import DueHeap, spread_expiries
from kvorum.lease.lease import Lease


def test_entries_come_up_in_the_order_of_their_times() -> None:
    current = {1: 30.0, 2: 10.0, 3: 20.0}
    heap = DueHeap(lambda due, lease_id: current[lease_id] == due)
    for lease_id, due in current.items():
        heap.push(due, lease_id)
    assert not heap.is_due(9.9)
    assert heap.is_due(10.0)
    current[3] = 25.0
    assert [heap.pop(), heap.pop(), heap.pop()] == [2, None, 1]
    assert not heap.is_due(99.0)


def test_entries_that_count_no_more_are_removed_when_most_are_such() -> None:
    heap = DueHeap(lambda due, lease_id: lease_id % 10 == 0)
    for number in range(5_000):
        heap.push(float(number), number)
    heap.trim(2_000)
    assert len(heap) == 5_000
    heap.trim(1_999)
    assert len(heap) == 500
    assert heap.pop() == 0


@given(
    expiries=st.lists(st.floats(0, 20), max_size=60),
    per_s_max=st.integers(1, 10),
)
def test_expiries_are_put_off_no_more_than_needed(expiries: list[float], per_s_max: int) -> None:
    leases = []
    for number, expiry in enumerate(expiries, 1):
        lease = Lease(number, 10)
        lease.expiry = expiry
        leases.append(lease)
    spread_expiries(leases, per_s_max)
    assert all(lease.expiry >= expiry for lease, expiry in zip(leases, expiries, strict=True))
    after = sorted(lease.expiry for lease in leases)
    gaps = [later - earlier for earlier, later in pairwise(after)]
    assert all(gap >= 1 / per_s_max - 1e-9 for gap in gaps)
    moved = [
        lease
        for lease, expiry in zip(leases, expiries, strict=True)
        if lease.expiry > expiry + 1e-9
    ]
    for lease in moved:  # right behind another one, so it could not have been earlier
        assert any(
            abs(lease.expiry - other.expiry - 1 / per_s_max) < 1e-9
            for other in leases
            if other is not lease
        )
