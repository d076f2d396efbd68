"""Starts that cannot succeed: a message that says what to do, and a non-zero exit code.

Exit codes and texts are those of stock etcd 3.5.1. Where Kvorum must say more than
stock, that part is left out when KVORUM_TEST_SERVER names a stock binary to prove the test with.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robustness.calls import Calls
from tests.servers import Server, start_server, under_test_is_stock

EXIT_S = 20.0
KEYS = 40
FRAME_LENGTH = struct.Struct("<Q")
LENGTH_MASK = (1 << 56) - 1
SECTOR = 512


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def fill(server: Server) -> None:
    with Calls(server.target) as calls:
        for n in range(KEYS):
            calls.put(b"key%02d" % n, b"value%02d" % n)


def check_filled(server: Server) -> None:
    with Calls(server.target) as calls:
        found = {kv.key: kv.value for kv in calls.get(b"key", b"kez").kvs}
    assert found == {b"key%02d" % n: b"value%02d" % n for n in range(KEYS)}


def last_segment(data_dir: Path) -> Path:
    return sorted((data_dir / "member" / "wal").glob("*.wal"))[-1]


def end_of_records(log: bytes) -> int:
    """Offset behind the last record: a frame length of zero is preallocated space."""
    at = 0
    while at + FRAME_LENGTH.size <= len(log):
        (field,) = FRAME_LENGTH.unpack_from(log, at)
        if field == 0:
            break
        padding = (field >> 56) & 0x7 if field >> 63 else 0
        at += FRAME_LENGTH.size + (field & LENGTH_MASK) + padding
    return at


def start_and_fail(server: Server) -> str:
    """Start a server that must fail; its output. Exit code 1 or 2, as stock's."""
    server.log_path.write_text("")
    server.start()
    assert server.wait_exit(EXIT_S) in {1, 2}
    return server.log_text()


def check_advice(text: str) -> None:
    """The text tells the operator what can be done, which stock's does not."""
    if not under_test_is_stock():
        assert re.search(r"restore|replace|remove|stop|choose|move|change", text), text


def test_a_client_port_in_use_is_named(taken_port: int) -> None:
    with start_server(client_port=taken_port, wait=False) as server:
        assert server.wait_exit(EXIT_S) == 1
        assert (
            f"listen tcp 127.0.0.1:{taken_port}: bind: address already in use" in server.log_text()
        )


def test_a_peer_port_in_use_is_named(taken_port: int) -> None:
    with start_server(peer_port=taken_port, wait=False) as server:
        assert server.wait_exit(EXIT_S) == 1
        assert (
            f"listen tcp 127.0.0.1:{taken_port}: bind: address already in use" in server.log_text()
        )


def test_a_start_that_failed_for_its_port_can_be_repeated(taken_port: int, tmp_path: Path) -> None:
    """What a failed start leaves in the data directory is no obstacle to the next."""
    with start_server(data_dir=tmp_path / "d", client_port=taken_port, wait=False) as failed:
        failed.wait_exit(EXIT_S)
    with start_server(data_dir=tmp_path / "d") as server:
        fill(server)
        check_filled(server)


@pytest.mark.parametrize("below", ["inside", "itself"])
def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path, below: str) -> None:
    """A path below a file cannot be made by anybody, root included."""
    (tmp_path / "file").write_text("in the way")
    data_dir = tmp_path / "file" / "data" if below == "inside" else tmp_path / "file"
    with start_server(data_dir=data_dir, wait=False) as server:
        assert server.wait_exit(EXIT_S) == 1
        assert str(data_dir) in server.log_text()
        assert re.search(r"not a directory|file exists", server.log_text(), re.IGNORECASE)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_second_process_on_one_directory_is_refused(tmp_path: Path) -> None:
    if under_test_is_stock():
        pytest.skip("stock etcd 3.5.1 waits for the lock of the database for ever")
    with start_server(data_dir=tmp_path / "d") as first:
        fill(first)
        with start_server(data_dir=tmp_path / "d", wait=False) as second:
            assert second.wait_exit(EXIT_S) == 1
            text = second.log_text()
            assert str(tmp_path / "d") in text
            assert "another process" in text
        check_filled(first)
        first.restart()
        check_filled(first)


def test_damage_in_the_middle_of_the_log_stops_the_start(tmp_path: Path) -> None:
    """The file, the offset and what to do are said; nothing is repaired away."""
    with start_server(data_dir=tmp_path / "d") as server:
        fill(server)
        server.kill9()
        segment = last_segment(server.data_dir)
        log = bytearray(segment.read_bytes())
        log[log.index(b"value%02d" % (KEYS // 2))] ^= 0x01
        segment.write_bytes(log)
        text = start_and_fail(server)
        assert "crc mismatch" in text
        assert segment.read_bytes() == log
        check_advice(text)
        if not under_test_is_stock():
            assert segment.name in text
            assert re.search(r"offset \d+", text)


@pytest.mark.parametrize("tail", ["zeros", "cut"])
def test_a_torn_tail_of_the_log_is_cut_off_at_the_start(tmp_path: Path, tail: str) -> None:
    """A record that power loss left half-written was never acknowledged: the start goes on without.

    zeros: the sectors that did not reach the disk are still zero; cut: the file ends in the record.
    """
    with start_server(data_dir=tmp_path / "d") as server:
        fill(server)
        server.kill9()
        segment = last_segment(server.data_dir)
        log = segment.read_bytes()
        end = end_of_records(log)
        # An entry record of 4,087 bytes and one of padding: type, checksum, 4,080 bytes of data.
        torn = FRAME_LENGTH.pack(4087 | 0x81 << 56) + b"\x08\x02\x10\x01\x1a\xf0\x1f"
        torn += b"x" * (2 * SECTOR - (end + len(torn)) % SECTOR)
        behind = log[end + len(torn) :] if tail == "zeros" else b""
        assert not any(behind)
        segment.write_bytes(log[:end] + torn + behind)
        server.restart()
        check_filled(server)
        with Calls(server.target) as calls:
            revision = calls.put(b"after", b"").header.revision
        assert revision == KEYS + 2
        server.kill9()
        server.restart()
        check_filled(server)


def test_a_missing_database_beside_a_raft_snapshot_stops_the_start(tmp_path: Path) -> None:
    """U14: the log before the snapshot is gone, so what the database held cannot be made again."""
    flags = ["--snapshot-count=10"]
    with start_server(data_dir=tmp_path / "d", extra_flags=flags) as server:
        fill(server)
        folder = server.data_dir / "member" / "snap"
        give_up = time.monotonic() + EXIT_S
        while not list(folder.glob("*.snap")):
            assert time.monotonic() < give_up, "no raft snapshot was made"
            time.sleep(0.05)
        server.terminate()
        database = folder / "db"
        database.unlink()
        (folder / "db-lock").unlink(missing_ok=True)
        text = start_and_fail(server)
        check_advice(text)
        if not under_test_is_stock():
            assert str(database) in text
            assert "missing" in text
            assert not database.exists()


def test_an_unknown_flag_is_exit_code_2() -> None:
    with start_server(extra_flags=["--no-such-flag=1"], wait=False) as server:
        assert server.wait_exit(EXIT_S) == 2
        assert "flag provided but not defined: -no-such-flag" in server.log_text()


def test_a_value_that_is_none_is_exit_code_2() -> None:
    with start_server(extra_flags=["--max-wals=x"], wait=False) as server:
        assert server.wait_exit(EXIT_S) == 2
        text = server.log_text()
        assert 'invalid value "x" for flag -max-wals: parse error' in text


def test_a_flag_and_its_environment_variable_conflict() -> None:
    """Even where both say the same."""
    with start_server(env={"ETCD_NAME": "m1"}, wait=False) as server:
        assert server.wait_exit(EXIT_S) == 1
        text = server.log_text()
        assert "conflicting environment variable is shadowed by corresponding" in text
        assert "ETCD_NAME" in text


def test_an_unknown_environment_variable_is_only_warned_of() -> None:
    with start_server(env={"ETCD_NO_SUCH": "x"}) as server:
        assert "unrecognized environment variable" in server.log_text()
        fill(server)
