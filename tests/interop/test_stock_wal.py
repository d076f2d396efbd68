"""Logs written by stock etcd are read record by record.

The other way round, that stock etcd accepts a log of ours, is shown here as far as the log goes:
a directory is written by stock, its log is opened, appended to and closed by us, and stock starts
from it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.raftpb import ConfChange, Entry, EntryType, HardState
from kvorum.wal import SnapshotFiles, Wal, WalSnapshot, read_wal, valid_snapshot_entries
from kvorum.wal.reader import read_segments
from kvorum.wal.records import (
    CRC,
    ENTRY,
    LENGTH,
    METADATA,
    SNAPSHOT,
    STATE,
    Encoder,
    crc_frame,
    frame_sizes,
    parse_record,
)
from kvorum.wal.segments import list_segments
from tests.stock import BinDir, StockEtcd, require_stock_34, require_stock_35, start_stock_etcd

PUTS = 40


@pytest.fixture(scope="module", params=["3.4", "3.5"])
def bin_dir(request: pytest.FixtureRequest) -> BinDir:
    return require_stock_34() if request.param == "3.4" else require_stock_35()


@pytest.fixture(scope="module")
def stock(bin_dir: BinDir, tmp_path_factory: pytest.TempPathFactory) -> tuple[StockEtcd, str]:
    """A member that took some writes and was killed, and what it said about itself."""
    data_dir = tmp_path_factory.mktemp("stock") / "data"
    with start_stock_etcd(bin_dir, "--snapshot-count=15", data_dir=data_dir) as member:
        for n in range(PUTS):
            member.etcdctl("put", f"key{n}", "v" * (n * 37))
        member.etcdctl("del", "key3")
        member.etcdctl("lease", "grant", "100")
        status = member.etcdctl("endpoint", "status", "--write-out=json")
        member.kill()
    return member, status


def wal_dir(stock: tuple[StockEtcd, str]) -> Path:
    return stock[0].data_dir / "member" / "wal"


def records_of(directory: Path) -> list[tuple[int, bytes]]:
    records: list[tuple[int, bytes]] = []
    end = read_segments(list_segments(directory), lambda kind, data: records.append((kind, data)))
    assert end.torn is None
    return records


def test_a_stock_log_says_who_wrote_it(stock: tuple[StockEtcd, str]) -> None:
    header = json.loads(stock[1])[0]["Status"]["header"]
    metadata = Metadata.FromString(read_wal(wal_dir(stock), WalSnapshot()).metadata)
    assert metadata.NodeID == header["member_id"]
    assert metadata.ClusterID == header["cluster_id"]


def test_a_stock_log_has_every_entry(stock: tuple[StockEtcd, str]) -> None:
    status = json.loads(stock[1])[0]["Status"]
    found = read_wal(wal_dir(stock), WalSnapshot())
    assert [one.index for one in found.entries] == list(range(1, len(found.entries) + 1))
    assert found.last_index >= status["raftIndex"] > PUTS
    assert found.hard_state.term == status["raftTerm"]
    assert 0 < found.hard_state.commit <= found.last_index
    assert found.entries[0].type == EntryType.CONF_CHANGE
    change = ConfChange.decode(found.entries[0].data or b"")
    assert change.node_id == status["header"]["member_id"]
    puts = [one.data or b"" for one in found.entries]
    assert sum(b"\x0a\x05key17" in one for one in puts) == 1


def test_every_record_of_a_stock_log_is_encoded_to_the_same_bytes(
    stock: tuple[StockEtcd, str],
) -> None:
    for segment in list_segments(wal_dir(stock)):
        data = segment.path.read_bytes()
        encoder = Encoder(0)
        offset, kinds = 0, []
        while (field := LENGTH.unpack_from(data, offset)[0]) != 0:
            length, padding = frame_sizes(field)
            stop = offset + 8 + length + padding
            kind, crc, body = parse_record(data[offset + 8 : offset + 8 + length])
            kinds.append(kind)
            assert reencoded(encoder, kind, crc, body) == data[offset:stop]
            offset = stop
        assert kinds[:2] == [CRC, METADATA]
        assert {ENTRY, STATE, SNAPSHOT} <= set(kinds)


def reencoded(encoder: Encoder, kind: int, crc: int, body: bytes) -> bytes:
    """The frame of a record, built from what it means."""
    if kind == CRC:
        encoder.crc = crc
        return crc_frame(crc)
    if kind == ENTRY:
        return b"".join(encoder.entries([Entry.decode(body)]))
    if kind == STATE:
        return encoder.record(kind, HardState.decode(body).encode())
    if kind == SNAPSHOT:
        return encoder.record(kind, WalSnapshot.decode(body).encode())
    return encoder.record(kind, body)


def test_the_snapshot_of_a_stock_member_is_found(stock: tuple[StockEtcd, str]) -> None:
    directory = wal_dir(stock)
    valid = valid_snapshot_entries(directory)
    assert valid[0].matches(WalSnapshot(0, 0))
    assert len(valid) > 1
    snapshot = SnapshotFiles(directory.parent / "snap").load_newest(valid)
    assert snapshot is not None
    metadata = snapshot.metadata
    assert metadata.index == valid[-1].index
    assert len(metadata.conf_state.voters) == 1
    assert b'"CurrentVersion":2' in (snapshot.data or b"")
    found = read_wal(directory, WalSnapshot(metadata.index, metadata.term))
    assert found.entries[0].index == metadata.index + 1


def test_the_snapshot_file_of_a_stock_member_is_encoded_to_the_same_bytes(
    stock: tuple[StockEtcd, str], tmp_path: Path
) -> None:
    directory = wal_dir(stock).parent / "snap"
    valid = valid_snapshot_entries(wal_dir(stock))
    snapshot = SnapshotFiles(directory).load_newest(valid)
    assert snapshot is not None
    written = SnapshotFiles(tmp_path).save(snapshot)
    assert written.read_bytes() == (directory / written.name).read_bytes()


def test_stock_starts_from_a_log_that_was_appended_to(bin_dir: BinDir, tmp_path: Path) -> None:
    """Entries of ours, as a new leader writes them, without data."""
    data_dir = tmp_path / "data"
    with start_stock_etcd(bin_dir, data_dir=data_dir) as member:
        member.etcdctl("put", "key", "value")
        member.stop()
    directory = data_dir / "member" / "wal"
    wal, found = Wal.open(directory, WalSnapshot())
    term, last = found.hard_state.term + 1, found.last_index
    added = [Entry(0, term, index, None) for index in range(last + 1, last + 200)]
    vote = found.hard_state.vote
    wal.save(HardState(term, vote, last), added, must_sync=True)
    wal.save(HardState(term, vote, last + 199), [], must_sync=True)
    wal.close()
    with start_stock_etcd(bin_dir, data_dir=data_dir) as member:
        assert member.etcdctl("get", "key", "--print-value-only").strip() == "value"
        status = json.loads(member.etcdctl("endpoint", "status", "--write-out=json"))[0]["Status"]
        assert status["raftIndex"] > last + 199
        member.etcdctl("put", "key", "other")
        member.kill()
    assert len(records_of(directory)) > 200


def test_stock_reads_a_log_of_ours_across_segments(bin_dir: BinDir, tmp_path: Path) -> None:
    """Its own entries, written by us into small segments from the first record on."""
    data_dir = tmp_path / "data"
    with start_stock_etcd(bin_dir, data_dir=data_dir) as member:
        for n in range(20):
            member.etcdctl("put", f"key{n}", "v" * 900)
        peer_url = member.peer_url
        member.stop()
    directory = data_dir / "member" / "wal"
    found = read_wal(directory, WalSnapshot())
    for segment in list_segments(directory):
        segment.path.unlink()
    directory.rmdir()
    with Wal.create(directory, found.metadata, segment_bytes=8192) as wal:
        for one in found.entries:
            wal.save(HardState(one.term, found.hard_state.vote, one.index), [one], must_sync=True)
        assert len(list_segments(directory)) > 2
    (data_dir / "member" / "snap" / "db").unlink()  # so that everything is applied from the log
    arguments = (f"--initial-cluster=stock={peer_url}",)
    with start_stock_etcd(bin_dir, *arguments, data_dir=data_dir) as member:
        got = member.etcdctl("get", "key", "--prefix", "--keys-only").split()
        assert sorted(got) == sorted(f"key{n}" for n in range(20))
