"""A bbolt file opened for reading."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, Self

from kvorum.errors import ConfigError, CorruptionError
from kvorum.storage.bbolt.check import check_file
from kvorum.storage.bbolt.format import (
    BUCKET_FLAG,
    HEADER_BYTES,
    META_BYTES,
    PAGE_BYTES_MAX,
    PAGE_BYTES_MIN,
    Meta,
    has_magic,
    is_page_size,
    unpack_meta,
)
from kvorum.storage.bbolt.pages import (
    ADVICE,
    FIRST_DATA_PAGE,
    SHOWN_BYTES_MAX,
    BadPage,
    Pages,
    Row,
    bucket_of,
    read_at,
)
from kvorum.storage.bbolt.tree import Owners, find, find_in, last_row, walk

_ROOT_OWNER: Final = 1
_PAGE_SIZES: Final = tuple(
    size for size in range(PAGE_BYTES_MIN, PAGE_BYTES_MAX + 1) if is_page_size(size)
)


class _Bucket:
    """A top-level bucket: a tree of pages, or rows that stand inside the root bucket."""

    __slots__ = ("inline", "owner", "root")

    def __init__(self, root: int, inline: list[Row], owner: int) -> None:
        self.root, self.inline, self.owner = root, inline, owner


class BoltFile:
    """Reads buckets and rows; see `kvorum.storage.files.DatabaseFile` for what each method gives.

    Every read may raise CorruptionError. The file is never written. One thread at a time; several
    `rows` may be under way in it.
    """

    kind: Final[Literal["lmdb", "bbolt"]] = "bbolt"

    def __init__(self, path: Path, fd: int, metas: list[Meta | str]) -> None:
        """Use `BoltFile.open`."""
        self.path, self._fd = path, fd
        self.meta = _newest(path, metas)
        self.size_bytes = self.meta.high_water * self.meta.page_size
        self._check_size()
        self._pages = Pages(path, fd, self.meta)
        self._owners = Owners(self.meta.high_water)
        self._buckets = self._read_buckets()

    @classmethod
    def open(cls, path: Path, *, lock: bool = True) -> Self:
        """Open `path`.

        Args:
            path: a database file; bytes behind its end (a snapshot's hash) are ignored.
            lock: refuse a file that a running member has open, and keep members from opening it
                meanwhile. Turn it off where the caller has locked the file itself.

        Raises:
            ConfigError: the file cannot be opened, or is in use.
            CorruptionError: it is damaged, or no bbolt file.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise ConfigError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ConfigError(f"{path} is no regular file")
            if lock:
                _lock_shared(path, fd)
            return cls(path, fd, _read_metas(path, fd))
        except BaseException:
            os.close(fd)
            raise

    def bucket_names(self) -> list[bytes]:
        return list(self._buckets)

    def rows(self, bucket: bytes, start: bytes = b"") -> Iterator[list[Row]]:
        """Rows of `bucket` from key `start` on, ascending, in lists of about 1 MiB of pages.

        Cost: reads at about 1 GB/s where values have 1 KiB.
        """
        found = self._buckets.get(bucket)
        if found is None:
            return
        if not found.root:
            rows = [row for row in found.inline if row[0] >= start]
            if rows:
                yield rows
            return
        try:
            yield from walk(self._pages, found.root, start, self._owners, found.owner)
        except BadPage as bad:
            raise self._damaged(bad, bucket) from bad

    def get(self, bucket: bytes, key: bytes) -> bytes | None:
        found = self._buckets.get(bucket)
        if found is None:
            return None
        if not found.root:
            return find_in(found.inline, key)
        try:
            return find(self._pages, found.root, key)
        except BadPage as bad:
            raise self._damaged(bad, bucket) from bad

    def last(self, bucket: bytes) -> Row | None:
        found = self._buckets.get(bucket)
        if found is None:
            return None
        if not found.root:
            return found.inline[-1] if found.inline else None
        try:
            return last_row(self._pages, found.root)
        except BadPage as bad:
            raise self._damaged(bad, bucket) from bad

    def check(self) -> list[str]:
        """Every problem of the file, in the words of bbolt's own check."""
        return check_file(self._pages, self.meta)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._pages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_size(self) -> None:
        meta = self.meta
        size = os.fstat(self._fd).st_size
        if size < self.size_bytes:
            raise CorruptionError(
                self.path,
                size,
                f"the file is truncated: it has {size} bytes and should have {self.size_bytes}",
                "take a complete copy, or restore from a snapshot",
            )
        if not FIRST_DATA_PAGE <= meta.root < meta.high_water:
            raise CorruptionError(
                self.path,
                None,
                f"the root bucket is at page {meta.root}, but of {meta.high_water} pages",
                ADVICE,
            )

    def _read_buckets(self) -> dict[bytes, _Bucket]:
        buckets: dict[bytes, _Bucket] = {}
        root = self.meta.root
        try:
            for rows in walk(self._pages, root, b"", self._owners, _ROOT_OWNER, BUCKET_FLAG):
                for name, value in rows:
                    page_id, inline = bucket_of(root, name, value)
                    owner = _ROOT_OWNER + 1 + len(buckets)
                    buckets[name] = _Bucket(page_id, inline, owner)
        except BadPage as bad:
            raise self._pages.damaged(bad) from bad
        return buckets

    def _damaged(self, bad: BadPage, bucket: bytes) -> CorruptionError:
        name = bucket[:SHOWN_BYTES_MAX].decode(errors="replace")
        inside = BadPage(bad.page_id, f"{bad.reason} (in bucket {name})")
        return self._pages.damaged(inside)


def is_bolt(path: Path) -> bool:
    """Whether `path` is a bbolt file, sound or damaged: one of its metas has bbolt's number.

    False if it cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return any(has_magic(_read_at_meta(path, fd, place)) for place in (0, *_PAGE_SIZES))
    except CorruptionError:
        return False
    finally:
        os.close(fd)


def _lock_shared(path: Path, fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        # Not every file system has locks; what cannot be locked can still be read.
        if error.errno in {errno.EWOULDBLOCK, errno.EAGAIN}:
            raise ConfigError(
                f"{path} is in use by a running member; stop it, or save a snapshot of it instead"
            ) from error


def _read_metas(path: Path, fd: int) -> list[Meta | str]:
    """The metas of pages 0 and 1, or what is wrong with them.

    Where the first is damaged the page size is not known: the second is looked for at every place
    it may have.
    """
    first = _read_meta(path, fd, 0)
    if isinstance(first, Meta):
        return [first, _read_meta(path, fd, first.page_size)]
    for size in _PAGE_SIZES:
        second = _read_meta(path, fd, size)
        if isinstance(second, Meta) and second.page_size == size:
            return [first, second]
    return [first, "it is nowhere to be found"]


def _read_meta(path: Path, fd: int, page_at: int) -> Meta | str:
    return unpack_meta(_read_at_meta(path, fd, page_at))


def _read_at_meta(path: Path, fd: int, page_at: int) -> bytes:
    return read_at(path, fd, page_at + HEADER_BYTES, META_BYTES)


def _newest(path: Path, metas: list[Meta | str]) -> Meta:
    """The meta to go by. Both have the same page size, or one of them is not used."""
    sound = [meta for meta in metas if isinstance(meta, Meta)]
    if not sound:
        raise CorruptionError(
            path, HEADER_BYTES, f"meta page 0: {metas[0]}; meta page 1: {metas[1]}",
            "it is no bbolt file, or it is damaged: restore from a snapshot",
        )  # fmt: skip
    if len(sound) == 2 and sound[0].page_size != sound[1].page_size:
        raise CorruptionError(
            path, HEADER_BYTES,
            f"its metas have page sizes {sound[0].page_size} and {sound[1].page_size}", ADVICE,
        )  # fmt: skip
    return max(sound, key=lambda meta: meta.txid)
