"""One lease, and its row in the bucket `lease`.

Source: etcd api/leasepb (Lease: ID=1, TTL=2, RemainingTTL=3); shared facts, disk.md section 5.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Final, NamedTuple, final

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.errors import CorruptionError
from kvorum.proto.lease_pb2 import Lease as StoredLease
from kvorum.proto.wire import varint
from kvorum.storage.buckets import lease_key

TTL_S_MAX: Final = 9_000_000_000
"""A grant above this is refused. Source: etcd server/lease, MaxLeaseTTL."""


def min_ttl_s(election_timeout_ms: int) -> int:
    """The least TTL: leases must outlive an election. 1.5 election timeouts, in whole seconds."""
    return ceil(election_timeout_ms * 1.5 / 1_000)


@final
class Lease:
    """What a member knows of a lease. Times are seconds of the lessor's clock.

    Attributes:
        id: signed 64 bits, not 0.
        ttl: what was granted.
        remaining_s: what a checkpoint said is left of it; 0: no checkpoint since the last renewal.
        expiry: when it ends; of meaning on the leader alone, as the two below.
        expiry_due: when the lessor looks at it again because of its expiry. Never after `expiry`,
            except while a revocation that was asked for is under way.
        checkpoint_due: when the lessor looks whether to checkpoint it; `inf`: not at all.
        keys: those attached to it; None is no key (an empty set takes 216 bytes).
    """

    __slots__ = (
        "checkpoint_due",
        "expiry",
        "expiry_due",
        "id",
        "keys",
        "remaining_s",
        "ttl",
    )

    def __init__(self, lease_id: int, ttl_s: int, remaining_s: int = 0) -> None:
        self.id = lease_id
        self.ttl = ttl_s
        self.remaining_s = remaining_s
        self.expiry = inf
        self.expiry_due = inf
        self.checkpoint_due = inf
        self.keys: set[bytes] | None = None

    def __repr__(self) -> str:
        return f"Lease({self.id:x}, ttl {self.ttl} s)"

    def encode(self) -> bytes:
        """The row's value."""
        row = b"\x08" + varint(self.id) + b"\x10" + varint(self.ttl)
        return row + b"\x18" + varint(self.remaining_s) if self.remaining_s else row


class LeaseCheckpoint(NamedTuple):
    """What a new leader is to leave of a lease; 0: its full TTL."""

    lease_id: int
    remaining_s: int


def decode(key: bytes, value: bytes, *, min_ttl_s: int) -> Lease:
    """The lease of a row. A TTL below `min_ttl_s`, granted under another setting, is raised.

    Raises:
        CorruptionError: the row is no lease, or stands under another lease's key.
    """
    try:
        stored = StoredLease.FromString(value)
    except ProtobufDecodeError:
        raise _bad_row(key, f"value {value[:40].hex()} is no lease") from None
    if stored.ID == 0 or lease_key(stored.ID) != key:
        raise _bad_row(key, f"holds lease {stored.ID}")
    return Lease(stored.ID, max(stored.TTL, min_ttl_s), max(stored.RemainingTTL, 0))


def _bad_row(key: bytes, reason: str) -> CorruptionError:
    return CorruptionError(
        "bucket lease",
        None,
        f"the row {key.hex()}: {reason}",
        "restore this member from a snapshot or from its peers",
    )
