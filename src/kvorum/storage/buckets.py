"""The buckets of a member's database, and how their keys are written.

Names, keys and values are etcd's own, byte for byte: the hash of a whole database covers bucket
names, keys and values, and must be the one that a stock member computes.

Source: etcd server/storage/schema; shared facts, disk.md section 5.
"""

from __future__ import annotations

import struct
from typing import Final, final

from kvorum.errors import DecodeError


@final
class Bucket:
    """One named table. `index` is its place in `BUCKETS`; compared by identity."""

    __slots__ = ("index", "name")

    def __init__(self, index: int, name: bytes) -> None:
        self.index = index
        self.name = name

    def __repr__(self) -> str:
        return f"Bucket({self.name.decode()})"


# In the order of their names, which is the order in which a hash of everything visits them.
ALARM: Final = Bucket(0, b"alarm")
AUTH: Final = Bucket(1, b"auth")
AUTH_ROLES: Final = Bucket(2, b"authRoles")
AUTH_USERS: Final = Bucket(3, b"authUsers")
CLUSTER: Final = Bucket(4, b"cluster")
KEY: Final = Bucket(5, b"key")
LEASE: Final = Bucket(6, b"lease")
MEMBERS: Final = Bucket(7, b"members")
MEMBERS_REMOVED: Final = Bucket(8, b"members_removed")
META: Final = Bucket(9, b"meta")

BUCKETS: Final = (
    ALARM,
    AUTH,
    AUTH_ROLES,
    AUTH_USERS,
    CLUSTER,
    KEY,
    LEASE,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
)
assert [bucket.index for bucket in BUCKETS] == list(range(len(BUCKETS)))
assert [bucket.name for bucket in BUCKETS] == sorted(bucket.name for bucket in BUCKETS)

# Keys of `meta`.
CONSISTENT_INDEX: Final = b"consistent_index"  # u64
TERM: Final = b"term"  # u64
CONF_STATE: Final = b"confState"  # JSON
SCHEDULED_COMPACT_REV: Final = b"scheduledCompactRev"  # 17-byte revision
FINISHED_COMPACT_REV: Final = b"finishedCompactRev"  # 17-byte revision
STORAGE_VERSION: Final = b"storageVersion"  # text, from 3.6 on

# Keys of `auth`.
AUTH_ENABLED: Final = b"authEnabled"  # one byte, 1 or 0
AUTH_REVISION: Final = b"authRevision"  # u64

# Keys of `cluster`.
CLUSTER_VERSION: Final = b"clusterVersion"  # text
DOWNGRADE: Final = b"downgrade"  # JSON

REVISION_BYTES: Final = 17
TOMBSTONE_BYTES: Final = 18
_REVISION = struct.Struct(">qcq")
_I64 = struct.Struct(">q")
_U64 = struct.Struct(">Q")


def revision_key(main: int, sub: int) -> bytes:
    """Key in `key` of the change `sub` of the transaction that made revision `main`."""
    return _REVISION.pack(main, b"_", sub)


def tombstone_key(main: int, sub: int) -> bytes:
    """As `revision_key`, for a change that deletes."""
    return _REVISION.pack(main, b"_", sub) + b"t"


def parse_revision_key(key: bytes) -> tuple[int, int, bool]:
    """`(main, sub, is a tombstone)` of a key of the bucket `key`.

    Raises:
        DecodeError: the key has another length or form.
    """
    if len(key) == REVISION_BYTES:
        main, mark, sub = _REVISION.unpack(key)
        tombstone = False
    elif len(key) == TOMBSTONE_BYTES and key.endswith(b"t"):
        main, mark, sub = _REVISION.unpack_from(key)
        tombstone = True
    else:
        raise DecodeError(f"{key.hex()} is not a revision")
    if mark != b"_":
        raise DecodeError(f"{key.hex()} is not a revision")
    return main, sub, tombstone


def lease_key(lease_id: int) -> bytes:
    """Key in `lease`; ids are signed in the API and in the file."""
    return _I64.pack(lease_id)


def parse_lease_key(key: bytes) -> int:
    """The lease id that a key of `lease` stands for.

    Raises:
        DecodeError: the key is not 8 bytes long.
    """
    if len(key) != _I64.size:
        raise DecodeError(f"{key.hex()} is not a lease id")
    return int(_I64.unpack(key)[0])


def member_key(member_id: int) -> bytes:
    """Key in `members` and `members_removed`: lower-case hex without leading zeros."""
    return b"%x" % member_id


def encode_u64(value: int) -> bytes:
    """Consistent index, term and auth revision as they stand in the file."""
    return _U64.pack(value)


def decode_u64(value: bytes) -> int:
    """The number that `encode_u64` wrote.

    Raises:
        DecodeError: the value is not 8 bytes long.
    """
    if len(value) != _U64.size:
        raise DecodeError(f"{value.hex()} is not a 64-bit number")
    return int(_U64.unpack(value)[0])
