"""`etcdctl snapshot save`: a file has its name only when it is whole."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kvorum.cli.etcdctl.commands.snapshot import _how_long
from kvorum.cli.etcdctl.snapshotfile import SnapshotFile
from kvorum.cli.shared.exits import CommandError
from kvorum.client.methods import SNAPSHOT
from kvorum.proto.rpc_pb2 import SnapshotResponse
from tests.servers import server_environment
from tests.unit.client.fakes import FakeMember, serving

DATABASE = bytes(range(256)) * 64
TRAILER = sha256(DATABASE).digest()
DEADLINE_S = 30.0


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


# The file.


@pytest.mark.parametrize("size", [1, 31, 33, 4096, 16_000, 100_000])
def test_the_file_is_whole_however_it_comes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "s.db"
    with SnapshotFile(str(path)) as file:
        for piece in pieces_of(DATABASE + TRAILER, size):
            file.write(piece)
            assert os.listdir(tmp_path) == ["s.db.part"]
        assert (tmp_path / "s.db.part").stat().st_mode & 0o777 == 0o600
        file.finish()
    assert os.listdir(tmp_path) == ["s.db"]
    assert path.read_bytes() == DATABASE + TRAILER
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATABASE + bytes(32), "damaged on its way: expected sha256 0000"),
        (b"x" + DATABASE[1:] + TRAILER, "damaged on its way"),
        (DATABASE, "checksum not found"),
        (DATABASE + TRAILER[:-1], "checksum not found"),
        (b"", "checksum not found"),
    ],
)
def test_what_is_not_whole_gets_no_name(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"the one of yesterday")
    with SnapshotFile(str(path)) as file:
        file.write(data)
        with pytest.raises(CommandError, match=words) as caught:
            file.finish()
    assert caught.value.code == 5
    assert os.listdir(tmp_path) == ["s.db"]
    assert path.read_bytes() == b"the one of yesterday"


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"the one of yesterday")
    (tmp_path / "s.db.part").write_bytes(b"left by somebody" * 10_000)
    with SnapshotFile(str(path)) as file:
        file.write(DATABASE + TRAILER)
        file.finish()
    assert path.read_bytes() == DATABASE + TRAILER
    assert os.listdir(tmp_path) == ["s.db"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.db.part").symlink_to("/dev/full")
    told = pytest.raises(CommandError, match="no space left on device")
    with SnapshotFile(str(tmp_path / "s.db")) as file, told:
        file.write(DATABASE)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere/s.db", r"could not open \S+/s.db.part \(open \S+: no such file or directory\)"),
        ("", "it is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        SnapshotFile(str(tmp_path / name))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "now"),
        (1.2, "1 second ago"),
        (59.9, "59 seconds ago"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7300, "2 hours ago"),
    ],
)
def test_times_are_told_as_stock_does(seconds: float, words: str) -> None:
    assert _how_long(seconds) == words


# The command.


def member_with(blobs: list[bytes], *, hang: bool = False, pause_s: float = 0.0) -> FakeMember:
    member = FakeMember()

    async def snapshot(_: AsyncIterator[Any], __: Any) -> AsyncIterator[SnapshotResponse]:
        left = len(DATABASE)
        for blob in blobs:
            left = max(0, left - len(blob))
            yield SnapshotResponse(remaining_bytes=left, blob=blob)
            await asyncio.sleep(pause_s)
        if hang:
            await asyncio.Event().wait()

    member.streams[SNAPSHOT.path] = snapshot
    return member


async def start_save(endpoint: str, path: Path, stderr: int) -> asyncio.subprocess.Process:
    words = [f"--endpoints={endpoint}", "snapshot", "save", str(path)]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kvorum.cli.etcdctl", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        env=server_environment({}),
    )


async def save(endpoint: str, path: Path) -> tuple[int | None, str, str]:
    process = await start_save(endpoint, path, asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return process.returncode, out.decode(), err.decode()


async def test_a_snapshot_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with serving(member_with([*pieces_of(DATABASE, 5000), TRAILER])) as member:
        code, out, err = await save(member.endpoint, path)
    assert (code, out) == (0, f"Snapshot saved at {path}\n")
    assert path.read_bytes() == DATABASE + TRAILER
    lines = err.splitlines()
    assert all(line.startswith('{"level":"info","ts":') for line in lines)
    words = ("created temporary", "opened snapshot", "fetching", "completed", "fetched", '"saved"')
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


@pytest.mark.parametrize(
    ("blobs", "words"),
    [
        ([DATABASE, bytes(32)], "damaged on its way"),
        ([DATABASE[:5000]], "too early"),
        ([], "checksum not found"),
    ],
)
async def test_a_member_that_sends_less_or_wrong_saves_nothing(
    tmp_path: Path, blobs: list[bytes], words: str
) -> None:
    async with serving(member_with(blobs)) as member:
        code, out, err = await save(member.endpoint, tmp_path / "s.db")
    assert (code, out) == (5, "")
    assert words in err.splitlines()[-1]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_leaves_no_part(tmp_path: Path, number: signal.Signals) -> None:
    part = tmp_path / "s.db.part"
    async with serving(member_with([DATABASE[:5000]], hang=True)) as member:
        process = await start_save(member.endpoint, tmp_path / "s.db", asyncio.subprocess.PIPE)
        deadline = time.monotonic() + DEADLINE_S
        while not (part.exists() and part.stat().st_size):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        process.send_signal(number)
        _, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == -number
    assert os.listdir(tmp_path) == []
    assert b"Traceback" not in err


async def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    blobs = [*pieces_of(DATABASE, 2000), TRAILER]
    async with serving(member_with(blobs, pause_s=0.2)) as member:
        process = await start_save(member.endpoint, tmp_path / "s.db", theirs)
        os.close(theirs)
        await asyncio.wait_for(process.communicate(), DEADLINE_S)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the other end is closed and all is read
            break
    os.close(ours)
    assert process.returncode == 0
    assert b"Saving" in shown
    assert b"/16.4" in shown
