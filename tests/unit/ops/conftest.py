from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.ops.files import make_database, make_snapshot, without_hash


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of ours."""
    return make_database(tmp_path / "db")


@pytest.fixture
def snapshot(database: Path, tmp_path: Path) -> Path:
    """A snapshot of `database`."""
    return make_snapshot(database, tmp_path / "snapshot.db")


@pytest.fixture
def bare(snapshot: Path, tmp_path: Path) -> Path:
    """The snapshot without the hash: a copy of a stock member's database."""
    return without_hash(snapshot, tmp_path / "bare.db")
