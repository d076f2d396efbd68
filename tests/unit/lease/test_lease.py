from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import CorruptionError
from kvorum.lease.lease import Lease, decode, min_ttl_s
from kvorum.proto.lease_pb2 import Lease as StoredLease
from kvorum.storage.buckets import lease_key

ids = st.integers(-(2**63), 2**63 - 1).filter(bool)


@given(lease_id=ids, ttl=st.integers(2, 9_000_000_000), remaining=st.integers(0, 9_000_000_000))
def test_a_row_is_what_protobuf_would_write(lease_id: int, ttl: int, remaining: int) -> None:
    row = Lease(lease_id, ttl, remaining).encode()
    assert row == StoredLease(ID=lease_id, TTL=ttl, RemainingTTL=remaining).SerializeToString()
    lease = decode(lease_key(lease_id), row, min_ttl_s=2)
    assert (lease.id, lease.ttl, lease.remaining_s) == (lease_id, ttl, remaining)


def test_a_stored_ttl_below_the_least_is_raised() -> None:
    row = StoredLease(ID=5, TTL=1).SerializeToString()
    assert decode(lease_key(5), row, min_ttl_s=2).ttl == 2


@pytest.mark.parametrize(
    ("key", "row"),
    [
        (lease_key(5), b"\xff"),
        (lease_key(5), b""),
        (lease_key(5), StoredLease(ID=6, TTL=10).SerializeToString()),
        (lease_key(0), StoredLease(TTL=10).SerializeToString()),
        (b"short", StoredLease(ID=6, TTL=10).SerializeToString()),
    ],
)
def test_a_row_that_is_no_lease_is_corruption(key: bytes, row: bytes) -> None:
    with pytest.raises(CorruptionError, match=key.hex()):
        decode(key, row, min_ttl_s=2)


@pytest.mark.parametrize(("election_ms", "least"), [(1_000, 2), (100, 1), (2_000, 3), (5_000, 8)])
def test_the_least_ttl_is_one_and_a_half_election_timeouts(election_ms: int, least: int) -> None:
    assert min_ttl_s(election_ms) == least
