"""The check of a snapshot file's SHA-256 under test, and what `snapshot status` makes of the file.

It stands behind the database, and only the file's length tells that it is there.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from random import Random

from kvorum.errors import ConfigError, CorruptionError
from kvorum.ops.inputs import HASH_BYTES, SECTOR_BYTES, has_hash, open_input
from kvorum.ops.sha import FileSum
from kvorum.ops.status import IntegrityError, snapshot_status
from tests.robustness.fuzz.bolt import BoltTarget
from tests.robustness.fuzz.harness import damage_bytes, masked, must_name


class TrailerTarget:
    """Snapshot files: a database and the hash of it."""

    name = "trailer"

    def __init__(self) -> None:
        self._database = BoltTarget()

    def seeds(self) -> list[bytes]:
        return [_hashed(one) for one in self._database.seeds()]

    def mutate(self, data: bytes, other: bytes, rng: Random) -> bytes:
        damaged = bytearray(data)
        match rng.randrange(7):
            case 0:
                del damaged[rng.randrange(len(damaged) + 1) :]
            case 1:
                size = rng.choice((1, HASH_BYTES, SECTOR_BYTES - HASH_BYTES, SECTOR_BYTES, 1024))
                damaged += rng.randbytes(size)
            case 2:
                del damaged[-min(len(damaged), rng.choice((1, 31, 32, 33, 64, 512, 544))) :]
            case 3:
                damaged[-HASH_BYTES:] = other[-HASH_BYTES:]
            case 4:
                damage_bytes(damaged, rng)
            case 5:
                return _hashed(self._database.mutate(data[:-HASH_BYTES], other, rng))
            case _:
                damage_bytes(damaged, rng)
                return _hashed(bytes(damaged[:-HASH_BYTES]))
        return bytes(damaged)

    def run(self, data: bytes, scratch: Path) -> str:
        path = scratch / "snapshot.db"
        path.write_bytes(data)
        assert has_hash(path) == (len(data) % SECTOR_BYTES == HASH_BYTES)
        outcome = _sum_outcome(path, data)
        try:
            with open_input(path) as database:
                size_bytes = database.size_bytes
            status = snapshot_status(path)
        except IntegrityError as error:
            return f"{outcome}; {masked(error.problems[0], path)}"
        except (ConfigError, CorruptionError) as error:
            must_name(error, path)
            return f"{outcome}; {masked(str(error), path)}"
        assert status.total_size_bytes == size_bytes <= len(data)
        return outcome if outcome != "right" else "sound"


def _sum_outcome(path: Path, data: bytes) -> str:
    if not has_hash(path):
        return "no hash"
    is_right = sha256(data[:-HASH_BYTES]).digest() == data[-HASH_BYTES:]
    with FileSum(path, skip_last=HASH_BYTES) as total:
        try:
            total.check()
        except ConfigError as error:
            must_name(error, path)
            assert not is_right, "a right hash is refused"
            return "wrong"
    assert is_right, "a wrong hash is accepted"
    return "right"


def _hashed(database: bytes) -> bytes:
    return database + sha256(database).digest()
