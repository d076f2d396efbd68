"""Our etcdutl does what stock etcdutl 3.5.1 does, run by run, on the same files."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.etcdutl_table import RUNS, Run
from tests.servers import server_environment
from tests.stock import BinDir, require_stock_35, start_stock_etcd

OURS = {name: (sys.executable, "-m", f"kvorum.cli.{name}") for name in ("etcdutl", "etcdctl")}
DEADLINE_S = 60
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did. The texts are normalised."""

    returncode: int
    stdout: str
    stderr: list[str]


@pytest.fixture(scope="module")
def stock() -> BinDir:
    return require_stock_35()


@pytest.fixture(scope="module")
def files(stock: BinDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that `etcdutl_table` tells of."""
    folder = tmp_path_factory.mktemp("files")
    with start_stock_etcd(stock) as member:
        for number in range(30):
            member.etcdctl("put", f"key-{number % 20}", "v" * 50 * number)
        member.etcdctl("del", "key-3")
        member.etcdctl("lease", "grant", "1000")
        member.etcdctl("snapshot", "save", str(folder / "s.db"))
    snapshot = (folder / "s.db").read_bytes()
    (folder / "bare.db").write_bytes(snapshot[:-HASH_BYTES])
    (folder / "flipped.db").write_bytes(snapshot[:-1] + bytes([snapshot[-1] ^ 1]))
    (folder / "cut.db").write_bytes(snapshot[:100])
    (folder / "empty").write_bytes(b"")
    (folder / "folder").mkdir()
    (folder / "old" / "member").mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def execute(command: tuple[str, ...], run: Run, files: Path, folder: Path) -> Outcome:
    shutil.copytree(files, folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    done = subprocess.run(
        [*command, *shlex.split(run.line)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": server_environment()["PYTHONPATH"]} | dict(run.env),
        timeout=DEADLINE_S,
        check=False,
    )
    stdout, stderr = done.stdout, done.stderr
    if run.usage:
        stdout, stderr = ("<usage>" if stdout else ""), without_usage(stderr)
    stdout = re.sub(r"(version: )[\d.]+", r"\1<version>", stdout)
    return Outcome(done.returncode, stdout, [plain(line) for line in stderr.splitlines()])


def without_usage(stderr: str) -> str:
    """Usage texts differ in wording; that there is one does not."""
    start = stderr.find("Usage:")
    if start < 0:
        return stderr
    end = stderr.find("Error:", start)
    return f"{stderr[:start]}<usage>\n{stderr[end:] if end >= 0 else ''}"


def plain(line: str) -> str:
    """A line of standard error without what must differ: time, place in the source, Go's stack."""
    parts = line.split("\t")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", parts[0]):
        return line
    parts[0] = "<time>"
    assert re.fullmatch(r"\w+/[\w.]+:\d+", parts[2]), line
    parts[2] = "<place>"
    if len(parts) > 4:
        fields = json.loads(parts[4])
        fields.pop("stack", None)
        parts[4] = json.dumps(fields, ensure_ascii=False)
        # The order of fields and the blanks between them are stock's, too.
        assert parts[4] in line or "stack" in line, line
    return "\t".join(parts)


def is_as(theirs: str, ours: str) -> bool:
    """Whether a line is stock's. After the text of an error ours may say what to do."""
    return ours == theirs or (theirs.startswith("Error: ") and ours.startswith(theirs))


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.program} {run.line}")
def test_equals_stock(run: Run, stock: BinDir, files: Path, tmp_path: Path) -> None:
    theirs = execute((str(stock / run.program),), run, files, tmp_path / "stock")
    ours = execute(OURS[run.program], run, files, tmp_path / "ours")
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), ours.stderr
    if run.worded:
        assert ours.stderr[0].startswith("Error: ")
        return
    said = [ours.stderr[0], ours.stderr[-1]] if run.more_log else ours.stderr
    assert len(said) == len(theirs.stderr), (theirs.stderr, ours.stderr)
    for one, other in zip(theirs.stderr, said, strict=True):
        assert is_as(one, other), f"\n  stock {one}\n  ours  {other}"
    for path in run.made:
        assert (tmp_path / "stock" / path).exists(), path
        assert (tmp_path / "ours" / path).exists(), path


def test_a_run_that_fails_leaves_nothing_behind(files: Path, tmp_path: Path) -> None:
    run = Run("snapshot restore flipped.db --data-dir r --wal-dir w")
    outcome = execute(OURS["etcdutl"], run, files, tmp_path / "ours")
    assert outcome.returncode == 1
    assert {one.name for one in (tmp_path / "ours").iterdir()} == {
        one.name for one in files.iterdir()
    }
