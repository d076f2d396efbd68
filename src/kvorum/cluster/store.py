"""The membership in the backend: three buckets in etcd's encodings.

    members          <id hex>        → member record (JSON)
    members_removed  <id hex>        → `removed`
    cluster          clusterVersion  → `X.Y.0`
    cluster          downgrade       → target version and whether it is allowed (JSON)

Writes go into the backend's open transaction; committing is the caller's business.

Source: shared facts, disk.md section 5 (checked there).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kvorum.cluster import gojson
from kvorum.cluster.member import Member
from kvorum.errors import ConfigError, CorruptionError, DecodeError
from kvorum.proto.versions import Version, parse_version
from kvorum.storage.buckets import (
    CLUSTER,
    CLUSTER_VERSION,
    DOWNGRADE,
    MEMBERS,
    MEMBERS_REMOVED,
    Bucket,
    member_key,
)

REMOVED_VALUE = b"removed"
_ADVICE = "restore the member from a snapshot, or remove it and add it again"
_FIRST, _LAST = b"", b"\xff"  # member keys are hex digits


class Rows(Protocol):
    """What reading takes of `kvorum.storage.Backend`."""

    def get(self, bucket: Bucket, key: bytes, /) -> bytes | None: ...
    def range(
        self, bucket: Bucket, start: bytes, end: bytes, /
    ) -> Iterable[tuple[bytes, bytes]]: ...


class Buckets(Rows, Protocol):
    """What writing takes of it besides."""

    def put(self, bucket: Bucket, key: bytes, value: bytes, /) -> None: ...
    def delete(self, bucket: Bucket, key: bytes, /) -> None: ...


class MembershipReader:
    """Reads the membership buckets of one backend, or of a file."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def members(self) -> list[Member]:
        """Every stored member.

        Raises:
            CorruptionError: a record cannot be read, or stands under another member's key.
        """
        members = []
        for key, value in self._rows.range(MEMBERS, _FIRST, _LAST):
            try:
                member = Member.decode(value)
            except DecodeError as error:
                raise _damaged(MEMBERS, key, str(error)) from None
            if member_key(member.id) != key:
                raise _damaged(MEMBERS, key, f"holds the record of member {member.id:x}")
            members.append(member)
        return members

    def removed_ids(self) -> list[int]:
        """Ids that must never come back.

        Raises:
            CorruptionError: a key is not an id.
        """
        removed = []
        for key, _ in self._rows.range(MEMBERS_REMOVED, _FIRST, _LAST):
            try:
                removed.append(int(key, 16))
            except ValueError:
                raise _damaged(MEMBERS_REMOVED, key, "is not a member id") from None
        return removed

    def version(self) -> Version | None:
        """The agreed cluster version, None before there is one.

        Raises:
            CorruptionError: what is stored is not a version.
        """
        value = self._rows.get(CLUSTER, CLUSTER_VERSION)
        if value is None:
            return None
        try:
            return parse_version(value.decode(errors="replace"))
        except ConfigError as error:
            raise _damaged(CLUSTER, CLUSTER_VERSION, str(error)) from None

    def downgrade_target(self) -> Version | None:
        """The version that the cluster is being taken down to, None where it is not.

        Raises:
            CorruptionError: what is stored is not that.
        """
        value = self._rows.get(CLUSTER, DOWNGRADE)
        if value is None:
            return None
        try:
            record = gojson.loads_object(value, "downgrade record")
            if record.get("enabled") is not True:
                return None
            return parse_version(str(record.get("target-version", "")))
        except (ConfigError, DecodeError) as error:
            raise _damaged(CLUSTER, DOWNGRADE, str(error)) from None


class MembershipStore(MembershipReader):
    """Writes them too."""

    __slots__ = ("_buckets",)

    def __init__(self, buckets: Buckets) -> None:
        super().__init__(buckets)
        self._buckets = buckets

    def put_member(self, member: Member) -> None:
        self._buckets.put(MEMBERS, member_key(member.id), member.encode())

    def remove_member(self, member_id: int) -> None:
        key = member_key(member_id)
        self._buckets.delete(MEMBERS, key)
        self._buckets.put(MEMBERS_REMOVED, key, REMOVED_VALUE)

    def put_version(self, version: Version) -> None:
        self._buckets.put(CLUSTER, CLUSTER_VERSION, str(version).encode())

    def put_downgrade_target(self, target: Version | None) -> None:
        record = {"target-version": "" if target is None else str(target)}
        value = gojson.dumps(record | {"enabled": target is not None})
        self._buckets.put(CLUSTER, DOWNGRADE, value)

    def replace(
        self, members: Iterable[Member], removed: Iterable[int], version: Version | None
    ) -> None:
        """Make the buckets say exactly this."""
        for bucket in (MEMBERS, MEMBERS_REMOVED):
            for key in [key for key, _ in self._buckets.range(bucket, _FIRST, _LAST)]:
                self._buckets.delete(bucket, key)
        for member in members:
            self.put_member(member)
        for member_id in removed:
            self._buckets.put(MEMBERS_REMOVED, member_key(member_id), REMOVED_VALUE)
        if version is None:
            self._buckets.delete(CLUSTER, CLUSTER_VERSION)
        else:
            self.put_version(version)


def _damaged(bucket: Bucket, key: bytes, reason: str) -> CorruptionError:
    where = f"database, bucket {bucket.name.decode()}, key {key.decode(errors='replace')}"
    return CorruptionError(where, None, reason, _ADVICE)
