"""Looking into a log or a database file, ours or stock's: every record and row, decoded.

Nothing is changed, and nothing secret is shown: passwords, their hashes and tokens are replaced by
`REDACTED`. A log may be looked at while its member runs; its newest records may be missing then.

Source: shared facts, disk.md sections 2 and 5, peer.md section 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kvorum.errors import ConfigError, CorruptionError, DecodeError
from kvorum.ops.dump_requests import decoded_entry, decoded_metadata
from kvorum.ops.dump_rows import decoded_row
from kvorum.ops.inputs import check_readable, open_input
from kvorum.proto.raftpb import Entry, HardState
from kvorum.wal import WalSnapshot
from kvorum.wal.reader import ADVICE, mapped
from kvorum.wal.records import (
    CRC,
    ENTRY,
    LENGTH,
    LENGTH_BYTES,
    METADATA,
    SNAPSHOT,
    STATE,
    extend_crc,
    frame_sizes,
    parse_record,
)
from kvorum.wal.segments import all_segments, list_segments

KINDS: Final = {
    METADATA: "metadata",
    ENTRY: "entry",
    STATE: "state",
    CRC: "crc",
    SNAPSHOT: "snapshot",
}
"""Names of the types of records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which records of a log to show."""

    first_index: int = 0
    """Entries from this index on; records that are no entries are not filtered by it."""
    last_index: int | None = None
    """... up to this one, included. None: to the end."""
    kinds: frozenset[str] = frozenset()
    """Values of `KINDS`; empty: all but `crc`."""
    methods: frozenset[str] = frozenset()
    """Entries whose `LogLine.method` is one of these; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One record of a log."""

    segment: str
    """Name of the file."""
    offset: int
    """Where the record's frame begins in it."""
    kind: str
    term: int = 0
    index: int = 0
    method: str = ""
    """Of an entry: `put`, `txn`, … (fields of InternalRaftRequest), `conf_change`, `v2_request`,
    `empty`, or `unknown`."""
    size_bytes: int = 0
    """Of the record's data."""
    fields: dict[str, Any] = field(default_factory=dict)
    """The message, field by field; messages in it are dictionaries too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketInfo:
    """One bucket of a database file."""

    name: str
    rows: int
    key_bytes: int
    value_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRow:
    """One row of a bucket."""

    key: bytes
    value: bytes
    """As it is stored; empty where it holds a secret."""
    shown_key: str
    """The key as people read it: a revision, an id, a name."""
    fields: dict[str, Any]
    """The value, decoded; `{"error": …}` where it cannot be."""


def log_directory(path: Path) -> Path:
    """The directory of segments in a data directory, a member's directory, or `path` itself.

    Raises:
        ConfigError: there is no log.
    """
    for candidate in (path, path / "wal", path / "member" / "wal"):
        if candidate.is_dir() and list_segments(candidate):
            return candidate
    raise ConfigError(f"{path} has no log: no *.wal files in it, in wal/ or in member/wal/")


def dump_log(path: Path, wanted: LogFilter = LogFilter()) -> Iterator[LogLine]:
    """The records of a log in the order of the file; entries that were replaced later, too.

    Args:
        path: a data directory, a member's directory, or a directory of segments.
        wanted: which records.

    Raises:
        ConfigError: there is no log.
        CorruptionError: a record is damaged; what stands before it has been given.
    """
    for segment, offset, kind, data in _records(log_directory(path)):
        name = KINDS.get(kind, f"type {kind}")
        if name not in wanted.kinds if wanted.kinds else kind == CRC:
            continue
        line = _line(segment, offset, kind, name, data)
        if kind == ENTRY:
            last = wanted.last_index
            if line.index < wanted.first_index or (last is not None and line.index > last):
                continue
            if wanted.methods and line.method not in wanted.methods:
                continue
        yield line


def _line(segment: Path, offset: int, kind: int, name: str, data: bytes) -> LogLine:
    term = index = 0
    method, fields = "", dict[str, Any]()
    try:
        if kind == ENTRY:
            entry = Entry.decode(data)
            term, index = entry.term, entry.index
            method, fields = decoded_entry(entry)
        elif kind == STATE:
            state = HardState.decode(data)
            term = state.term
            fields = {"term": state.term, "vote": state.vote, "commit": state.commit}
        elif kind == SNAPSHOT:
            snapshot = WalSnapshot.decode(data)
            term, index = snapshot.term, snapshot.index
            if snapshot.conf_state is not None:
                fields = {
                    "voters": snapshot.conf_state.voters,
                    "learners": snapshot.conf_state.learners,
                }
        elif kind == METADATA:
            fields = decoded_metadata(data)
    except DecodeError as error:
        raise CorruptionError(segment, offset, str(error), ADVICE) from error
    return LogLine(
        segment=segment.name,
        offset=offset,
        kind=name,
        term=term,
        index=index,
        method=method,
        size_bytes=len(data),
        fields=fields,
    )


def _records(directory: Path) -> Iterator[tuple[Path, int, int, bytes]]:
    """`(segment, offset, type, data)` of each record.

    `wal.reader` reads the same for a start, which wants to know of a torn end; here it is left out.
    """
    crc = 0
    segments = all_segments(directory, ADVICE)
    for segment in segments:
        with mapped(segment.path) as data:
            size, offset = len(data), 0
            while size - offset >= LENGTH_BYTES:
                (head,) = LENGTH.unpack_from(data, offset)
                if head == 0:
                    break
                try:
                    length, padding = frame_sizes(head)
                    start = offset + LENGTH_BYTES
                    stop = start + length + padding
                    if stop > size:
                        raise DecodeError("unexpected EOF")
                    kind, stored, body = parse_record(bytes(data[start : start + length]))
                    crc = _next_crc(kind, crc, stored, body)
                except DecodeError as error:
                    raise CorruptionError(segment.path, offset, str(error), ADVICE) from error
                yield segment.path, offset, kind, body
                offset = stop


def _next_crc(kind: int, crc: int, stored: int, body: bytes) -> int:
    if kind != CRC:
        crc = extend_crc(crc, body)
    if stored != crc and not (kind == CRC and crc == 0):
        raise DecodeError("wal: crc mismatch")
    return stored


def list_buckets(path: Path) -> list[BucketInfo]:
    """The buckets of a database file or snapshot, ascending by name.

    Raises:
        ConfigError: there is no such file, or it is no database.
        CorruptionError: it is damaged.
    """
    check_readable(path)
    found = []
    with open_input(path) as database:
        for name in database.bucket_names():
            count = keys = values = 0
            for rows in database.rows(name):
                count += len(rows)
                keys += sum([len(key) for key, _ in rows])
                values += sum([len(value) for _, value in rows])
            found.append(
                BucketInfo(
                    name=name.decode("utf-8", "backslashreplace"),
                    rows=count,
                    key_bytes=keys,
                    value_bytes=values,
                )
            )
    return found


def dump_bucket(path: Path, bucket: str, *, start: bytes = b"") -> Iterator[BucketRow]:
    """The rows of a bucket, ascending, from the key `start` on.

    Raises:
        ConfigError: there is no such file or bucket, or it is no database.
        CorruptionError: it is damaged.
    """
    check_readable(path)
    with open_input(path) as database:
        name = bucket.encode()
        if name not in database.bucket_names():
            known = ", ".join(one.decode(errors="replace") for one in database.bucket_names())
            raise ConfigError(f"{path} has no bucket {bucket!r}; it has {known}")
        for rows in database.rows(name, start):
            for key, value in rows:
                shown, fields, is_secret = decoded_row(name, key, value)
                yield BucketRow(
                    key=key, value=b"" if is_secret else value, shown_key=shown, fields=fields
                )
