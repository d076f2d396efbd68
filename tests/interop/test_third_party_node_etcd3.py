"""The npm client `etcd3` against Kvorum: the client that is not written in Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.third_party import run_scenario
from tests.servers import Server, start_server

SUITE = Path(__file__).parent / "node"
INSTALL_S = 300


def cache_folder() -> Path:
    """One folder for each state of package.json, outside of the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    digest = hashlib.sha256((SUITE / "package.json").read_bytes()).hexdigest()[:16]
    return Path(base) / "kvorum-interop-node" / digest


@pytest.fixture(scope="module")
def modules() -> Path:
    """Folder with `node_modules`; installed on first use. Without Node.js the tests are skipped."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on the PATH")
    folder = cache_folder()
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(SUITE / "package.json", folder)
        # No lock file: it would write download addresses down. No install scripts: none is needed.
        install = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit"]
        ran = subprocess.run(
            install, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        (folder / "installed").touch()
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as running:
        yield running


@pytest.mark.parametrize("scenario", ["keys", "transaction", "watch", "lease", "lock"])
def test_npm_etcd3_works(modules: Path, server: Server, scenario: str) -> None:
    command = ["node", str(SUITE / "suite.js")]
    run_scenario(command, server.target, scenario, {"KVORUM_NODE_MODULES": str(modules)})
