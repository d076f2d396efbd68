"""The rule of `conftest.py`, tried on small test files in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CANNOT_HAVE
from tests.network.namespace import NOT_HERE, NOT_ROOT

CONFTEST = Path(__file__).with_name("conftest.py")

SKIPS = {
    "in a test": "import pytest\ndef test_x():\n    pytest.skip('no such binary')\n",
    "by a mark": "import pytest\n@pytest.mark.skip(reason='no such binary')\ndef test_x(): pass\n",
    "of a module": "import pytest\npytest.skip('no such binary', allow_module_level=True)\n",
}
XFAIL = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_x():\n    assert False\n"


def run(folder: Path, text: str, *, ci: bool) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_one.py").write_text(text + "\ndef test_passes():\n    assert True\n")
    environment = {name: value for name, value in os.environ.items() if name != "KVORUM_CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "."],
        cwd=folder,
        env=environment | ({"KVORUM_CI": "1"} if ci else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("where", SKIPS)
def test_a_skip_fails_in_ci(tmp_path: Path, where: str) -> None:
    done = run(tmp_path, SKIPS[where], ci=True)
    assert done.returncode != 0
    assert "was skipped in CI" in done.stdout
    assert "no such binary" in done.stdout


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    done = run(tmp_path, SKIPS["in a test"], ci=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_an_expected_failure_is_none_in_ci(tmp_path: Path) -> None:
    done = run(tmp_path, XFAIL, ci=True)
    assert done.returncode == 0, done.stdout
    assert "1 xfailed" in done.stdout


def test_what_the_kernel_refuses_is_skipped_in_ci_and_told(tmp_path: Path) -> None:
    reason = f"{NOT_HERE}: [Errno 1] Operation not permitted"
    done = run(tmp_path, SKIPS["in a test"].replace("no such binary", reason), ci=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_ci_that_is_not_root_does_not_lose_the_tests_that_need_it(tmp_path: Path) -> None:
    assert not NOT_ROOT.startswith(tuple(CANNOT_HAVE))
    done = run(tmp_path, SKIPS["in a test"].replace("no such binary", NOT_ROOT), ci=True)
    assert done.returncode != 0
    assert f"was skipped in CI (KVORUM_CI): Skipped: {NOT_ROOT}" in done.stdout
