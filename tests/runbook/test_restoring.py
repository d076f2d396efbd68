"""Rows T3, B3 and B7 of the mission: backups and data files, with no server at work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.runbook.commands import (
    CLIENTS,
    DEADLINE_S,
    etcdctl,
    output_of,
    own_address,
    running_etcd,
)
from tests.servers import server_environment, start_server
from tests.stock import stock_35

OURS = (sys.executable, "-m", "kvorum.cli.etcdutl")
KEYS_COUNT = 40
STOCK_35 = stock_35()
TOOLS = {"ours": OURS} | ({"stock 3.5": (str(STOCK_35.etcdutl),)} if STOCK_35 is not None else {})
"""Every etcdutl there is. (3.4 has none.)"""
RESTORERS = [client for client in CLIENTS if client != "stock 3.4"]
"""The etcdctl that restore with a line on their deprecation."""
DEPRECATED = "Deprecated: Use `etcdutl snapshot {}` instead.\n\n"


def etcdutl(*words: str, cwd: Path, tool: Sequence[str] = OURS) -> subprocess.CompletedProcess[str]:
    """One run of an etcdutl; nothing is said about its exit code."""
    return subprocess.run(
        [*tool, *words],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=server_environment(),
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `snapshot.db`, taken of a member of ours."""
    folder = tmp_path_factory.mktemp("backup")
    with start_server() as server:
        at = f"--endpoints={server.target}"
        for number in range(KEYS_COUNT):
            output_of(at, "put", f"key{number}", f"value {number}")
        output_of(at, "del", "key0")
        output_of(at, "snapshot", "save", str(folder / "snapshot.db"))
    return folder


def table_of(text: str) -> tuple[list[str], list[str]]:
    """Headings and cells of a table with one row."""
    lines = text.splitlines()
    assert lines[0] == lines[2] == lines[4], text
    headings, cells = ([cell.strip() for cell in lines[n].strip("|").split("|")] for n in (1, 3))
    return headings, cells


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_B3_etcdutl_prints_the_status_as_a_table(backup: Path, tool: tuple[str, ...]) -> None:
    """etcdutl --write-out=table snapshot status snapshot.db"""
    done = etcdutl("--write-out=table", "snapshot", "status", "snapshot.db", cwd=backup, tool=tool)
    assert (done.returncode, done.stderr) == (0, "")
    headings, cells = table_of(done.stdout)
    assert headings == ["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"]
    assert cells[1] == str(KEYS_COUNT + 2)
    ours = etcdutl("--write-out=table", "snapshot", "status", "snapshot.db", cwd=backup)
    assert ours.stdout == done.stdout


@pytest.mark.parametrize("client", RESTORERS)
def test_B3_etcdctl_prints_the_status_and_that_it_is_deprecated(backup: Path, client: str) -> None:
    done = etcdctl(
        "--write-out=table", "snapshot", "status", str(backup / "snapshot.db"),
        client=CLIENTS[client],
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, DEPRECATED.format("status"))
    utl = etcdutl("--write-out=table", "snapshot", "status", "snapshot.db", cwd=backup)
    assert done.stdout == utl.stdout


def check_restored(data_dir: Path, folder: Path) -> None:
    """A member of ours starts on what was restored, and has every key with its revisions."""
    ip = own_address()
    flags = [
        f"--data-dir={data_dir}",
        f"--listen-client-urls=http://{ip}:2379",
        f"--advertise-client-urls=http://{ip}:2379",
        f"--listen-peer-urls=http://{ip}:2380",
    ]
    with running_etcd(folder, flags, address=ip):
        at = f"--endpoints={ip}:2379"
        found = output_of(at, "get", "--prefix", "key", "--keys-only").split()
        assert set(found) == {f"key{number}" for number in range(1, KEYS_COUNT)}
        assert output_of(at, "get", "key7") == "key7\nvalue 7\n"
        shown = output_of(at, "get", "key7", "-w", "fields")
        assert f'"Revision" : {KEYS_COUNT + 2}\n' in shown
        assert '"ModRevision" : 9\n' in shown
        assert output_of(at, "put", "after", "1") == "OK\n"


def test_B7_etcdutl_restores_with_the_flag_before_the_subcommand(
    backup: Path, tmp_path: Path
) -> None:
    """etcdutl --data-dir DIR snapshot restore snapshot.db"""
    data_dir = tmp_path / "DIR"
    done = etcdutl("--data-dir", str(data_dir), "snapshot", "restore", "snapshot.db", cwd=backup)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "\trestored snapshot\t" in done.stderr
    check_restored(data_dir, tmp_path)


def test_B7_etcdctl_restores_and_says_that_it_is_deprecated(backup: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "DIR"
    done = etcdctl("--data-dir", str(data_dir), "snapshot", "restore", str(backup / "snapshot.db"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith(DEPRECATED.format("restore"))
    check_restored(data_dir, tmp_path)


def test_B7_stock_restores_what_ours_saved(backup: Path, tmp_path: Path) -> None:
    """The member on it is ours: it takes stock's directory over."""
    if "stock 3.5" not in TOOLS:
        pytest.skip("no stock etcd 3.5")
    data_dir = tmp_path / "DIR"
    words = ("--data-dir", str(data_dir), "snapshot", "restore", "snapshot.db")
    done = etcdutl(*words, cwd=backup, tool=TOOLS["stock 3.5"])
    assert done.returncode == 0, done.stderr
    check_restored(data_dir, tmp_path)


def test_T3_etcdutl_restores_checks_defragments_and_migrates_with_no_server(
    backup: Path, tmp_path: Path
) -> None:
    steps = [
        ["snapshot", "restore", str(backup / "snapshot.db"), "--data-dir=data"],
        ["verify", "--data-dir=data"],
        ["defrag", "--data-dir=data"],
        ["migrate", "--data-dir=data", "--target-version=3.6"],
        ["migrate", "--data-dir=data", "--target-version=3.5"],
        ["migrate", "--data-dir=data", "--format=stock"],
        ["defrag", "--data-dir=data"],
        ["verify", "--data-dir=data"],
        ["migrate", "--data-dir=data", "--format=kvorum"],
        ["verify", "--data-dir=data"],
    ]
    before = etcdutl("hashkv", str(backup / "snapshot.db"), cwd=tmp_path).stdout
    assert before.endswith(f", {KEYS_COUNT + 2}, -1\n")
    for words in steps:
        done = etcdutl(*words, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert etcdutl("hashkv", "data/member/snap/db", cwd=tmp_path).stdout == before, words
    check_restored(tmp_path / "data", tmp_path)
