"""The reader of `.snap` files under test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from kvorum.errors import DecodeError
from kvorum.proto import wire
from kvorum.proto.raftpb import ConfState, Snapshot, SnapshotMetadata
from kvorum.wal import SnapshotFiles, WalSnapshot, read_snapshot
from kvorum.wal.records import extend_crc, varint
from tests.robustness.fuzz.harness import damage_bytes, interesting, masked

_LOGGER = logging.getLogger("kvorum.wal.snapfiles")
_V2_STORE = (
    b'{"Root":{"Path":"/","CreatedIndex":0,"ModifiedIndex":0,"Value":"","Children":{}},'
    b'"CurrentIndex":4,"CurrentVersion":2}'
)


class SnapTarget:
    """One `.snap` file, alone and in a directory that is looked through at start."""

    name = "snap"

    def seeds(self) -> list[bytes]:
        places = SnapshotMetadata(ConfState([1, 2, 3], [4]), 9, 2)
        made = [
            Snapshot(_V2_STORE, places),
            Snapshot(None, SnapshotMetadata(ConfState([1]), 1, 1)),
            Snapshot(b"", SnapshotMetadata(ConfState(list(range(1, 40))), 2**40, 300)),
        ]
        return [_file_of(one.encode()) for one in made]

    def mutate(self, data: bytes, other: bytes, rng: Random) -> bytes:
        if rng.randrange(3) == 0:
            whole = bytearray(data)
            damage_bytes(whole, rng)
            return bytes(whole[:65536])
        inside = bytearray(_data_of(data) or _data_of(other))
        for _ in range(rng.choice((1, 1, 2, 4))):
            if rng.randrange(3):
                damage_bytes(inside, rng)
            else:
                number = interesting(rng, (len(inside), 1, 2, 3), 64)
                at = rng.randrange(len(inside) + 1)
                inside[at : at + rng.randrange(3)] = varint(number)
        return _file_of(bytes(inside[:60_000]))

    def run(self, data: bytes, scratch: Path) -> str:
        directory = scratch / "snap"
        directory.mkdir(exist_ok=True)
        path = directory / "0000000000000002-0000000000000009.snap"
        path.write_bytes(data)
        try:
            return self._outcome(directory, path)
        finally:
            for one in directory.iterdir():
                one.unlink()

    @staticmethod
    def _outcome(directory: Path, path: Path) -> str:
        snapshot = None
        outcome = "sound"
        try:
            snapshot = read_snapshot(path)
        except DecodeError as error:
            outcome = masked(str(error), path)
        assert outcome, "a refusal without a reason"
        valid = [WalSnapshot(9, 2)]
        if snapshot is not None:
            valid.append(WalSnapshot(snapshot.metadata.index, snapshot.metadata.term))
        with _warnings() as warnings:
            found = SnapshotFiles(directory, fsync=False).load_newest(valid)
        assert found == snapshot
        if snapshot is None:
            assert not path.exists(), "a file that cannot be read must be put aside"
            assert any(str(path) in text for text in warnings), warnings
        return outcome


def _file_of(data: bytes) -> bytes:
    crc = extend_crc(0, data)
    return b"\x08%b\x12%b%b" % (varint(crc), varint(len(data)), data)


def _data_of(content: bytes) -> bytes:
    data, offset = b"", 0
    try:
        while offset < len(content):
            number, _, value, offset = wire.read_field(content, offset)
            if number == 2 and isinstance(value, bytes):
                data = value
    except DecodeError:
        pass
    return data


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """The texts that the reader logs; shown nowhere else."""
    texts: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    keeper = Keeper()
    propagated = _LOGGER.propagate
    _LOGGER.addHandler(keeper)
    _LOGGER.propagate = False
    try:
        yield texts
    finally:
        _LOGGER.removeHandler(keeper)
        _LOGGER.propagate = propagated
