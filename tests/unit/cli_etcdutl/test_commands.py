"""The commands on files of our own making. (Against stock: tests/interop/test_etcdutl_equal.py.)"""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
from pathlib import Path

import pytest

from kvorum.ops.hashkv import file_hash_kv
from kvorum.ops.status import snapshot_status
from tests.servers import server_environment
from tests.unit.cli_etcdutl.runs import COMMAND, DEADLINE_S, etcdutl, output_of
from tests.unit.ops.files import make_database, make_snapshot, names_below


def test_status_is_that_of_ops_in_every_form(snapshot: Path) -> None:
    found = snapshot_status(snapshot)
    numbers = [found.hash, found.revision, found.total_keys, found.total_size_bytes]
    simple = output_of("snapshot", "status", snapshot).rstrip("\n").split(", ")
    assert simple[:3] == [f"{found.hash:x}", str(found.revision), str(found.total_keys)]
    shown = json.loads(output_of("snapshot", "status", snapshot, "-w", "json"))
    assert shown == dict(zip(["hash", "revision", "totalKey", "totalSize"], numbers, strict=True))
    fields = output_of("-wfields", "snapshot", "status", snapshot)
    names = ["Hash", "Revision", "Keys", "Size"]
    assert fields == "".join(f'"{n}" : {v}\n' for n, v in zip(names, numbers, strict=True))
    table = output_of("--write-out=table", "snapshot", "status", snapshot)
    assert "|   HASH   | REVISION | TOTAL KEYS | TOTAL SIZE |" in table


def test_hashkv_is_that_of_ops_in_every_form(snapshot: Path) -> None:
    found = file_hash_kv(snapshot, 60)
    numbers = [found.hash, found.hash_revision, found.compact_revision]
    rev = "--rev=60"
    assert output_of("hashkv", snapshot, rev) == ", ".join(map(str, numbers)) + "\n"
    assert json.loads(output_of("hashkv", snapshot, rev, "-w", "json")) == dict(
        zip(["hash", "hashRevision", "compactRevision"], numbers, strict=True)
    )
    names = ("Hash", "Hash revision", "Compact revision")
    assert output_of("hashkv", snapshot, rev, "-w", "fields") == "".join(
        f'"{name}" : {number}\n' for name, number in zip(names, numbers, strict=True)
    )
    table = output_of("hashkv", snapshot, rev, "-w", "table")
    assert "| HASH REVISION | COMPACT REVISION |" in table


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        (100_000, "mvcc: required revision is a future revision"),
        (1, "mvcc: required revision has been compacted"),
    ],
)
def test_hashkv_refuses_revisions_that_are_not_there(
    snapshot: Path, revision: int, reason: str
) -> None:
    done = etcdutl("hashkv", snapshot, f"--rev={revision}")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {reason}\n")


def test_what_a_restore_made_is_whole_and_has_the_same_hash(snapshot: Path, data_dir: Path) -> None:
    assert output_of("verify", "--data-dir", data_dir) == f"{data_dir}: no problems found\n"
    database = data_dir / "member" / "snap" / "db"
    assert output_of("hashkv", database) == output_of("hashkv", snapshot)


def test_restore_logs_each_step_and_prints_nothing(snapshot: Path, tmp_path: Path) -> None:
    done = etcdutl(
        "snapshot", "restore", snapshot, "--data-dir", tmp_path / "d",
        "--bump-revision=1000", "--mark-compacted",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    messages = [line.split("\t")[3] for line in done.stderr.splitlines()]
    assert messages == [
        "restoring snapshot",
        "bumping latest revision",
        "marking revision compacted",
        "Trimming membership information from the backend...",
        "added member",
        "restored snapshot",
    ]


def test_bumping_needs_marking(snapshot: Path, tmp_path: Path) -> None:
    done = etcdutl(
        "snapshot", "restore", snapshot, "--data-dir", tmp_path / "d", "--bump-revision=9"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: --mark-compacted required if --revision-bump > 0")


def test_verify_names_what_is_damaged(data_dir: Path) -> None:
    (log,) = (data_dir / "member" / "wal").glob("*.wal")
    with log.open("r+b") as file:
        file.seek(60)
        file.write(b"\xff")
    done = etcdutl("verify", "--data-dir", data_dir)
    assert done.returncode == 1
    assert str(log) in done.stdout
    assert done.stderr.endswith(f" found in {data_dir}\n")
    shown = json.loads(etcdutl("verify", "--data-dir", data_dir, "-w", "json").stdout)
    assert shown == {"dataDir": str(data_dir), "problems": done.stdout.splitlines()}


def test_defrag_keeps_every_row(snapshot: Path, data_dir: Path) -> None:
    database = data_dir / "member" / "snap" / "db"
    before = output_of("snapshot", "status", database).split(", ")[:3]
    done = etcdutl("defrag", "--data-dir", data_dir)
    assert (done.returncode, done.stdout) == (0, "")
    assert "\tfinished defragmenting directory\t" in done.stderr
    assert output_of("snapshot", "status", database).split(", ")[:3] == before


def test_defrag_of_what_is_no_data_directory_says_so(tmp_path: Path) -> None:
    done = etcdutl("defrag", "--data-dir", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"Failed to defragment etcd data[{tmp_path}] (open {tmp_path}/member/snap/db: no such file"
    )


@pytest.mark.parametrize("command", ["defrag", "verify"])
def test_a_directory_in_use_is_left_alone(command: str, data_dir: Path) -> None:
    with (data_dir / "member" / "snap" / "db").open("r+b") as database:
        fcntl.flock(database, fcntl.LOCK_EX)
        done = etcdutl(command, "--data-dir", data_dir)
    assert done.returncode == 1
    assert "is in use by a running member" in done.stderr


def test_a_directory_goes_to_stock_and_back(snapshot: Path, data_dir: Path) -> None:
    """What is in it stays; the kind of the file changes."""
    database = data_dir / "member" / "snap" / "db"
    for form in ("stock", "kvorum"):
        done = etcdutl("migrate", "--data-dir", data_dir, "--format", form)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert output_of("hashkv", database) == output_of("hashkv", snapshot), form
        assert output_of("verify", "--data-dir", data_dir).endswith("no problems found\n")


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        (
            ["--target-version=3.5.1"],
            128,
            'wrong target version format, expected "X.Y", got "3.5.1"',
        ),
        (["--target-version=x"], 128, 'wrong target version format, expected "X.Y", got "x"'),
        (["--target-version=3.4"], 128, 'target version "3.4" not supported. Minimal "3.5"'),
        (["--format=xfs"], 1, 'unknown format "xfs", expected one of: kvorum, stock'),
        ([], 1, 'required flag(s) "target-version" not set'),
    ],
)
def test_a_migration_that_cannot_be_is_refused(
    flags: list[str], code: int, reason: str, data_dir: Path
) -> None:
    done = etcdutl("migrate", "--data-dir", data_dir, *flags)
    assert (done.returncode, done.stderr) == (code, f"Error: {reason}\n")


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["snapshot", "status", "f"], "xml"),
        (["hashkv", "f"], "xml"),
        (["verify", "--data-dir=d"], "table"),
        (["inspect", "log", "d"], "fields"),
        (["inspect", "bucket", "f", "key"], "protobuf"),
    ],
)
def test_a_form_that_a_command_does_not_have_is_refused(words: list[str], form: str) -> None:
    done = etcdutl(*words, "-w", form)
    assert done.returncode == 4
    assert "output format" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["snapshot", "status", "FILE"],
        ["snapshot", "restore", "FILE", "--data-dir=r", "--skip-hash-check"],
        ["hashkv", "FILE"],
        ["inspect", "buckets", "FILE"],
        ["inspect", "bucket", "FILE", "key"],
        ["inspect", "log", "FILE"],
        ["verify", "--data-dir=FILE"],
        ["defrag", "--data-dir=FILE"],
        ["migrate", "--data-dir=FILE", "--format=stock"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("content", [None, b"", b"\x1f\x8bzip", b"x" * 20_000, "folder", "secret"])
def test_no_file_is_answered_with_a_traceback(
    words: list[str], content: bytes | str | None, tmp_path: Path
) -> None:
    path = tmp_path / "FILE"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o000 if content == "secret" else 0o600)
    done = etcdutl(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(("Error: ", "Failed to defragment "))
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_restore_leaves_nothing_and_dies_of_the_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    database = make_database(tmp_path / "db", keys=10_000)
    snapshot = make_snapshot(database, tmp_path / "s.db")
    before = names_below(tmp_path)
    data_dir = tmp_path / "data"
    process = subprocess.Popen(
        [*COMMAND, "snapshot", "restore", str(snapshot), f"--data-dir={data_dir}"],
        stderr=subprocess.PIPE,
        env=server_environment(),
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if b"Trimming" in line:
                break
        process.send_signal(number)
        process.stderr.read()
        assert process.wait(DEADLINE_S) == -number
    finally:
        process.kill()
        process.communicate()
    assert names_below(tmp_path) == before


def test_a_signal_that_is_ignored_stays_ignored(snapshot: Path, tmp_path: Path) -> None:
    """`nohup etcdutl …` goes on when its terminal goes."""
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND, "snapshot", "restore",
         str(snapshot), f"--data-dir={tmp_path / 'd'}"],
        stderr=subprocess.PIPE,
        env=server_environment(),
    )  # fmt: skip
    try:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        assert b"restored snapshot" in process.stderr.read()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_full_disk_is_told_without_a_traceback(snapshot: Path) -> None:
    """`/dev/full` stands for it: what is printed cannot be written."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "inspect", "bucket", str(snapshot), "key"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=server_environment(),
            timeout=DEADLINE_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        6,
        b"Error: write /dev/stdout: no space left on device\n",
    )


def test_a_directory_that_cannot_be_written_is_told(snapshot: Path) -> None:
    done = etcdutl("snapshot", "restore", snapshot, "--data-dir", "/proc/nosuch/data")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
