"""A data directory under construction: it gets its name when it is whole, or is removed.

Where it is built:

    data directory not there    <data-dir>.restoring-<pid>            renamed to <data-dir>
    there and empty             <data-dir>/member.restoring-<pid>     renamed to <data-dir>/member

The second because an empty data directory may be a mount point, which cannot be renamed over. A log
directory elsewhere (`--wal-dir`) is built in `<wal-dir>.restoring-<pid>` and renamed first: a log
without a data directory is of no use to a member, but a data directory without its log looks to
stock etcd like one that begins anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, Self

from kvorum.durable import fsync_directory
from kvorum.errors import ConfigError
from kvorum.wal.segments import DIRECTORY_MODE

MARK: Final = ".restoring-"
"""In the names of what is under construction."""


class Staging:
    """See the module. A context manager: without `commit`, nothing stays."""

    def __init__(self, data_dir: Path, wal_dir: Path | None) -> None:
        self._data_dir = data_dir
        self.wal_dir = wal_dir or data_dir / "member" / "wal"
        suffix = f"{MARK}{os.getpid()}"
        self._in_place = data_dir.is_dir()
        if self._in_place:
            self._member = data_dir / f"member{suffix}"
            self._moves = [(self._member, data_dir / "member")]
        else:
            built = data_dir.with_name(data_dir.name + suffix)
            self._member = built / "member"
            self._moves = [(built, data_dir)]
        self._wal_apart = wal_dir is not None and not _is_below(wal_dir, self._moves[0][1])
        if self._wal_apart:
            # One folder deeper, because a log is built beside its place too.
            self._wal = self.wal_dir.with_name(self.wal_dir.name + suffix) / "wal"
            self._moves.insert(0, (self._wal, self.wal_dir))
        else:
            inner = os.path.relpath(self.wal_dir, self._moves[0][1])
            self._wal = self._moves[0][0] / inner
        self._tops: list[Path] = []  # what is under construction
        self._made: list[Path] = []  # parents that were not there, outermost first
        self._moved: list[Path] = []
        self._committed = False

    def check(self) -> None:
        """Refuse directories that are there already.

        Raises:
            ConfigError: with stock's texts, and what to do.
        """
        if os.path.lexists(self._data_dir) and not _is_empty(self._data_dir):
            raise ConfigError(
                f'data-dir "{self._data_dir}" not empty or could not be read'
                f"{_advice(self._data_dir)}"
            )
        if self.wal_dir != self._data_dir / "member" / "wal" and os.path.lexists(self.wal_dir):
            raise ConfigError(
                f'wal-dir "{self.wal_dir}" exists; choose another --wal-dir, or move it away'
            )
        if _is_below(self._data_dir, self.wal_dir):
            raise ConfigError(
                f'wal-dir "{self.wal_dir}" holds data-dir "{self._data_dir}"; choose a --wal-dir'
                " of its own"
            )

    def data_place(self) -> Path:
        """A directory that is there, on the disk that the data directory will be on."""
        return _nearest(self._moves[-1][0])

    def wal_place(self) -> Path:
        """As `data_place`, for the log."""
        return _nearest(self._wal)

    def make(self) -> tuple[Path, Path]:
        """Make the directories; where the database goes, and where the log.

        The log's one is not made itself.
        """
        self._tops = [self._moves[-1][0]]
        if self._wal_apart:
            self._tops.append(self._wal.parent)
        for top in self._tops:
            self._make_parents(top)
            top.mkdir(mode=DIRECTORY_MODE)
        snap = self._member / "snap"
        # Path.mkdir gives parents the default mode.
        for path in (self._member, snap, *reversed(self._wal.parents)):
            if not path.exists():
                path.mkdir(mode=DIRECTORY_MODE)
        return snap, self._wal

    def _make_parents(self, path: Path) -> None:
        missing = []
        parent = path.parent
        while not parent.exists():
            missing.append(parent)
            parent = parent.parent
        for one in reversed(missing):
            one.mkdir(mode=DIRECTORY_MODE)
            self._made.append(one)

    def commit(self) -> None:
        """Give everything its name. Durable on return."""
        for top in self._tops:
            _fsync_tree(top)
        for built, final in self._moves:
            os.rename(built, final)
            self._moved.append(final)
            fsync_directory(final.parent)
        if self._wal_apart:
            self._wal.parent.rmdir()
        for parent in self._made:
            fsync_directory(parent.parent)
        self._committed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._committed:
            return
        for path in (*self._moved, *self._tops):
            shutil.rmtree(path, ignore_errors=True)
        for parent in reversed(self._made):
            try:
                parent.rmdir()
            except OSError:
                return  # somebody else put something there


def _is_below(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or in it."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _is_empty(path: Path) -> bool:
    try:
        return not any(path.iterdir())
    except OSError:
        return False


def _advice(path: Path) -> str:
    """What to do about a directory that is not empty."""
    try:
        left = [one.name for one in path.iterdir() if MARK in one.name]
    except OSError:
        left = []
    if left:
        return f"; {path / left[0]} was left by a restore that was killed: remove it, and try again"
    return "; choose another --data-dir, or move what is there away"


def _nearest(path: Path) -> Path:
    """The innermost directory above `path` that is there."""
    path = Path(os.path.abspath(path)).parent
    while not path.is_dir():
        path = path.parent
    return path


def _fsync_tree(path: Path) -> None:
    """Make all names below `path` durable; the files themselves are."""
    for folder, _, _ in os.walk(path, topdown=False):
        fsync_directory(Path(folder))
