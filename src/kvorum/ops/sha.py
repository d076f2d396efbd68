"""The SHA-256 behind a snapshot, computed beside other work on the file."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self

from kvorum.errors import ConfigError

_PIECE_BYTES: Final = 1 << 20


class FileSum:
    """Sums a file up in a thread (hashing and reading let go of the GIL) from the context's start.

    Args:
        path: the file.
        skip_last: so many bytes at the end are the sum that it should have; None: nothing to do.
    """

    def __init__(self, path: Path, *, skip_last: int | None) -> None:
        self._path = path
        self._skip_last = skip_last
        self._expected = self._found = b""
        self._failure: OSError | None = None
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="sha256", daemon=True)

    def check(self) -> None:
        """Wait for the sum, and refuse a file that has another one.

        Raises:
            ConfigError: with stock's text.
            OSError: the file cannot be read.
        """
        if self._skip_last is None:
            return
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        if self._found != self._expected:
            raise ConfigError(
                f"expected sha256 {_numbers(self._expected)}, got {_numbers(self._found)}:"
                f" {self._path} was changed or damaged after it was saved; take another copy or"
                " another backup"
            )

    def __enter__(self) -> Self:
        if self._skip_last is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._sum()
        except OSError as error:
            self._failure = error

    def _sum(self) -> None:
        assert self._skip_last is not None
        digest = sha256()
        buffer = memoryview(bytearray(_PIECE_BYTES))
        with self._path.open("rb", buffering=0) as file:
            left = self._path.stat().st_size - self._skip_last
            while left > 0 and not self._stopped.is_set():
                count = file.readinto(buffer[: min(left, _PIECE_BYTES)])
                if not count:
                    break
                digest.update(buffer[:count])
                left -= count
            self._expected = file.read(self._skip_last)
        self._found = digest.digest()


def _numbers(digest: bytes) -> str:
    """As Go prints a slice of bytes."""
    return "[" + " ".join(map(str, digest)) + "]"
