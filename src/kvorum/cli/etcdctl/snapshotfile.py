"""The file that a snapshot is saved to: it has its name only when it is whole and durable.

Pieces are written to `NAME.part`. `finish` checks the SHA-256 behind the database, flushes, and
gives the file its name, in place of one that had it. Whatever goes wrong before, the part is
removed and a file that was there stays as it was. (Stock etcdctl leaves the part.)
"""

from __future__ import annotations

import contextlib
import os
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.durable import fsync_directory

SUFFIX: Final = ".part"
MODE: Final = 0o600
TRAILER_BYTES: Final = sha256().digest_size
SECTOR_BYTES: Final = 512
"""A database is whole pages, so that a file with a checksum behind it shows by its length."""


class SnapshotFile:
    """See the module. A context manager.

    Raises:
        CommandError: the part cannot be made.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.part_name = name + SUFFIX
        self.size_bytes = 0
        self._hash = sha256()
        self._tail = b""
        if Path(name).is_dir():
            raise _failed(f"could not open {name} (it is a directory)")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._fd = os.open(self.part_name, flags, MODE)
        except OSError as error:
            reason = _reason("open", self.part_name, error)
            raise _failed(f"could not open {self.part_name} ({reason})") from error
        self._open = True
        self._there = True

    def write(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            CommandError: the disk does not.
        """
        try:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise _failed(_reason("write", self.part_name, error)) from error
        self.size_bytes += len(piece)
        # The last bytes that have come may be the checksum, so they wait for the next piece.
        piece = self._tail + piece
        self._hash.update(memoryview(piece)[:-TRAILER_BYTES])
        self._tail = piece[-TRAILER_BYTES:]

    def finish(self) -> None:
        """Check what was written, and give it its name.

        Raises:
            CommandError: it is not a whole snapshot, or the disk failed.
        """
        self._check()
        step = "fsync"
        try:
            os.fsync(self._fd)
            self._close()
            step = "rename"
            os.rename(self.part_name, self.name)
            self._there = False
            step = "fsync"
            fsync_directory(Path(self.name).parent)
        except OSError as error:
            if step == "rename":
                reason = _reason("rename", f"{self.part_name} {self.name}", error)
                text = f"could not rename {self.part_name} to {self.name} ({reason})"
                raise _failed(text) from error
            raise _failed(_reason(step, self.part_name, error)) from error

    def _check(self) -> None:
        if self.size_bytes % SECTOR_BYTES != TRAILER_BYTES:
            raise _failed(
                f"sha256 checksum not found [bytes: {self.size_bytes}]; nothing was saved"
            )
        if self._hash.digest() != self._tail:
            raise _failed(
                f"the snapshot was damaged on its way: expected sha256 {self._tail.hex()}, got"
                f" {self._hash.hexdigest()}; nothing was saved"
            )

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if self._there:
            with contextlib.suppress(OSError):
                os.unlink(self.part_name)


def _failed(text: str) -> CommandError:
    return CommandError(Exit.INTERRUPTED, text)


def _reason(act: str, name: str, error: OSError) -> str:
    """An error of the system as Go words it."""
    return f"{act} {name}: {(error.strerror or str(error)).lower()}"
