"""The scripts that etcd's own core is tested with, run against ours.

They are not part of this repository: `KVORUM_RAFT_SCENARIOS` names a folder that holds them in
`interaction/`, `quorum/` and `confchange/`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenarios import tables
from tests.scenarios.interaction import Cluster
from tests.scenarios.script import check

VARIABLE = "KVORUM_RAFT_SCENARIOS"
_FOLDER = os.environ.get(VARIABLE)

pytestmark = pytest.mark.skipif(
    not _FOLDER, reason=f"{VARIABLE} does not name a folder with etcd raft's test scripts"
)


def _scripts(kind: str) -> list[pytest.param]:
    paths = sorted((Path(_FOLDER) / kind).glob("*.txt")) if _FOLDER else []
    if not paths:
        return [pytest.param(Path("none"), id="none")]
    return [pytest.param(path, id=path.stem) for path in paths]


@pytest.mark.parametrize("path", _scripts("interaction"))
def test_a_cluster_behaves_as_etcds(path: Path) -> None:
    assert check(path, Cluster().run) > 0


@pytest.mark.parametrize("path", _scripts("quorum"))
def test_majorities_are_counted_as_etcds(path: Path) -> None:
    assert check(path, tables.run_quorum) > 0


@pytest.mark.parametrize("path", _scripts("confchange"))
def test_configurations_change_as_etcds(path: Path) -> None:
    assert check(path, tables.ConfChangeTable().run) > 0
