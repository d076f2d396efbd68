"""A database as a member of a new cluster starts from it: the backup's, with another identity.

What changes is a handful of rows. They are changed on the way from the backup to the new file, so
that this is written once, front to back.

Source: shared facts, disk.md sections 5 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, Self

from kvorum.cluster.bootstrap import BOOTSTRAP_TERM, Bootstrap
from kvorum.errors import ConfigError
from kvorum.mvcc.revision import check_row, main_of, row_key
from kvorum.proto.raftpb import ConfState
from kvorum.server.stored_state import encode_conf_state
from kvorum.storage.buckets import (
    CONF_STATE,
    CONSISTENT_INDEX,
    KEY,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
    SCHEDULED_COMPACT_REV,
    TERM,
    encode_u64,
    member_key,
)
from kvorum.storage.files import DatabaseFile, Row

_REVISION_MAX: Final = (1 << 63) - 1


class NewIdentity:
    """`source` with the membership, raft position and revision of a new cluster's first start.

    Leases, alarms, users and roles, and the cluster version stay as they are. So does the rest of
    `meta`.
    """

    def __init__(self, source: DatabaseFile, founded: Bootstrap, bump_revision: int) -> None:
        """Begin.

        Args:
            source: the backup.
            founded: the new cluster.
            bump_revision: how far to raise the newest revision, and to mark all as compacted; 0:
                leave both.

        Raises:
            ConfigError: the raised revision would not be a revision.
            CorruptionError: the backup's newest row is none of etcd's.
        """
        self._source = source
        self.path: Path = source.path
        self.kind: Literal["lmdb", "bbolt"] = source.kind
        self.size_bytes: int = source.size_bytes
        last = source.last(KEY.name)
        main, suffix = 0, row_key(0)[8:]
        if last is not None:
            check_row(last[0])
            main, suffix = main_of(last[0]), last[0][8:17]
        self.revision = main + bump_revision
        """The newest revision afterwards."""
        if self.revision > _REVISION_MAX:
            raise ConfigError(
                f"--bump-revision {bump_revision}: the backup is at revision {main}, and revisions"
                f" end at {_REVISION_MAX}"
            )
        self._bump: list[Row] = []
        if bump_revision:
            self._bump = [(self.revision.to_bytes(8, "big") + suffix, b"")]
        self._replaced = {
            MEMBERS.name: sorted((member_key(one.id), one.encode()) for one in founded.members),
            MEMBERS_REMOVED.name: [],
            META.name: self._meta(founded, compacted=bump_revision > 0),
        }

    def _meta(self, founded: Bootstrap, *, compacted: bool) -> list[Row]:
        rows = dict(row for part in self._source.rows(META.name) for row in part)
        voters = [member.id for member in founded.members]
        rows[CONSISTENT_INDEX] = encode_u64(len(voters))
        rows[TERM] = encode_u64(BOOTSTRAP_TERM)
        rows[CONF_STATE] = encode_conf_state(ConfState(voters=voters))
        if compacted:
            rows[SCHEDULED_COMPACT_REV] = row_key(self.revision)
        return sorted(rows.items())

    def bucket_names(self) -> list[bytes]:
        return sorted({*self._source.bucket_names(), *self._replaced})

    def rows(self, bucket: bytes, start: bytes = b"") -> Iterator[list[Row]]:
        replaced = self._replaced.get(bucket)
        if replaced is not None:
            if rows := [row for row in replaced if row[0] >= start]:
                yield rows
            return
        yield from self._source.rows(bucket, start)
        if bucket == KEY.name and self._bump and self._bump[0][0] >= start:
            yield self._bump

    def get(self, bucket: bytes, key: bytes) -> bytes | None:
        rows = next(self.rows(bucket, key), None)
        return rows[0][1] if rows and rows[0][0] == key else None

    def last(self, bucket: bytes) -> Row | None:
        if bucket in self._replaced:
            rows = self._replaced[bucket]
            return rows[-1] if rows else None
        if bucket == KEY.name and self._bump:
            return self._bump[-1]
        return self._source.last(bucket)

    def check(self) -> list[str]:
        return self._source.check()

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
