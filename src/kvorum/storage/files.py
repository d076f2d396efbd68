"""A database file opened for reading, whoever wrote it: ours (LMDB) or stock etcd's (bbolt).

What reads a file that somebody hands us, such as a backup or a copy of a member's directory, goes
by `open_database`: it tells the kind by the content, and trusts nothing it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from kvorum.errors import ConfigError

Row = tuple[bytes, bytes]
Progress = Callable[[int, int], None]
"""Told of `(bytes done, bytes in all)`, at most once every few MiB."""

_HEAD_BYTES: Final = 64 * 1024 + 64
"""Enough for the second meta page of a file with the largest pages."""
_LOOKS_LIKE: Final = (
    (b"\x1f\x8b", "a gzip file; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; decompress it first"),
    (b"\xfd7zXZ\0", "an xz file; decompress it first"),
    (b"BZh", "a bzip2 file; decompress it first"),
    (b"PK\x03\x04", "a zip file; unpack it first"),
    (b"age-encryption.org/", "an encrypted file; decrypt it first"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"{", "JSON text"),
    (b"<", "a text with markup"),
)


class DatabaseFile(Protocol):
    """A database file opened for reading. A context manager: it closes itself."""

    path: Path
    size_bytes: int
    """bbolt: pages up to the high-water mark; LMDB: pages up to the last one. Free ones too."""

    @property
    def kind(self) -> Literal["lmdb", "bbolt"]: ...

    def bucket_names(self) -> list[bytes]:
        """Names of the buckets, ascending."""
        ...

    def rows(self, bucket: bytes, start: bytes = b"") -> Iterator[list[Row]]:
        """Rows from `start` on, ascending, in lists of a few MiB at most (or one row).

        A bucket that is not there has no rows.

        Raises:
            CorruptionError: the file is damaged at a place that had to be read.
        """
        ...

    def get(self, bucket: bytes, key: bytes) -> bytes | None: ...

    def last(self, bucket: bytes) -> Row | None:
        """The row with the highest key."""
        ...

    def check(self) -> list[str]:
        """Problems found by walking everything; none: the file is sound."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_database(path: Path) -> DatabaseFile:
    """Open the database file `path` for reading; the file is never written.

    Raises:
        ConfigError: there is no such file, it cannot be read, or it is no database.
        CorruptionError: it is a database, and damaged.
    """
    from kvorum.storage import bbolt, lmdb_file  # noqa: PLC0415 - they know this module

    head = _read_head(path)
    if lmdb_file.is_lmdb(head):
        return lmdb_file.LmdbFile.open(path)
    if bbolt.is_bolt(path):
        return bbolt.BoltFile.open(path)
    raise ConfigError(
        f"{path} is no etcd database: expected a snapshot, or a copy of member/snap/db written by"
        f" Kvorum or stock etcd; it looks like {_looks_like(head)}"
    )


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a directory, not a database file; the database of a data directory is"
            " member/snap/db in it"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _looks_like(head: bytes) -> str:
    if not head:
        return "an empty file"
    for magic, words in _LOOKS_LIKE:
        if head.startswith(magic):
            return words
    if not any(head):
        return "nothing but zeros"
    return f"something else (its first bytes are {head[:16].hex()})"
