from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli_etcdutl.runs import etcdutl
from tests.unit.ops.files import make_database, make_snapshot


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot file. Not to be changed."""
    folder = tmp_path_factory.mktemp("etcdutl")
    return make_snapshot(make_database(folder / "db"), folder / "snapshot.db")


@pytest.fixture
def data_dir(snapshot: Path, tmp_path: Path) -> Path:
    """The data directory of a member that was restored and never ran."""
    done = etcdutl("snapshot", "restore", snapshot, "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    return tmp_path / "data"
