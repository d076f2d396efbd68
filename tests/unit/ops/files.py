"""Files that the tests of ops work on: a database with some of everything, of both kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kvorum.mvcc.rules import V3_6
from kvorum.ops.restore import RestoreOptions
from kvorum.proto.auth_pb2 import User
from kvorum.proto.lease_pb2 import Lease
from kvorum.proto.rpc_pb2 import AlarmMember
from kvorum.storage import Backend
from kvorum.storage.buckets import (
    ALARM,
    AUTH,
    AUTH_REVISION,
    AUTH_USERS,
    CLUSTER,
    CLUSTER_VERSION,
    CONF_STATE,
    CONSISTENT_INDEX,
    LEASE,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
    TERM,
    encode_u64,
    lease_key,
    member_key,
)
from kvorum.storage.files import open_database
from kvorum.storage.snapshot_stream import SnapshotStream
from tests.servers import server_environment
from tests.unit.mvcc.leases import LeaseBook
from tests.unit.mvcc.stores import Client

LONG_NAME = b"n" * 700
"""Longer than LMDB's keys."""
PASSWORD = b"$2a$10$abcdefghijklmnopqrstuv"


def make_database(path: Path, *, keys: int = 50) -> Path:
    """A database of ours, as a member leaves it: history, deletions, a compaction, all buckets."""
    backend = Backend.open(path, fsync=False)
    client = Client(backend, V3_6, LeaseBook(7))
    for n in range(keys):
        client.put(b"key%03d" % n, b"value %d" % n * 20)
    for n in range(0, keys, 3):
        client.put(b"key%03d" % n, b"again", lease=7)
    client.delete(b"key001", b"key009")
    client.compact(keys // 2)
    client.put(b"key002", b"born again")
    backend.put(LEASE, lease_key(7), Lease(ID=7, TTL=100).SerializeToString())
    backend.put(ALARM, AlarmMember(memberID=0xABC, alarm=1).SerializeToString(), b"")
    for name in (b"ann", LONG_NAME):
        user = User(name=name, password=PASSWORD, roles=["root"])
        backend.put(AUTH_USERS, name, user.SerializeToString())
    backend.put(AUTH, AUTH_REVISION, encode_u64(3))
    backend.put(MEMBERS, member_key(0xABC), b'{"id":2748,"peerURLs":["http://old:2380"]}')
    backend.put(MEMBERS_REMOVED, member_key(0xDEF), b"removed")
    backend.put(CLUSTER, CLUSTER_VERSION, b"3.5.0")
    backend.put(META, CONSISTENT_INDEX, encode_u64(99))
    backend.put(META, TERM, encode_u64(4))
    backend.put(META, CONF_STATE, b'{"voters":[2748],"auto_leave":false}')
    backend.close()
    return path


def make_snapshot(database: Path, path: Path) -> Path:
    """A snapshot file of `database`."""
    with open_database(database) as source, path.open("wb") as file:
        file.writelines(SnapshotStream(source).pieces())
    return path


def without_hash(snapshot: Path, path: Path) -> Path:
    """A bare bbolt database."""
    path.write_bytes(snapshot.read_bytes()[:-32])
    return path


def options(snapshot: Path, data_dir: Path, **more: object) -> RestoreOptions:
    return RestoreOptions(snapshot=snapshot, data_dir=data_dir, **more)  # type: ignore[arg-type]


def names_below(path: Path) -> list[str]:
    """Everything that there is, to compare before and after."""
    return sorted(str(one.relative_to(path)) for one in path.rglob("*"))


def start_restore(snapshot: Path, data_dir: Path, *more: str) -> subprocess.Popen[bytes]:
    """A restore in a process of its own, which has just begun."""
    code = (
        "import sys; from pathlib import Path; from kvorum.server.log import NO_LOG\n"
        "from kvorum.ops.restore import RestoreOptions, restore\n"
        "wal = Path(sys.argv[3]) if len(sys.argv) > 3 else None\n"
        "o = RestoreOptions(snapshot=Path(sys.argv[1]), data_dir=Path(sys.argv[2]), wal_dir=wal)\n"
        "print('ready', flush=True); restore(o, NO_LOG)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(snapshot), str(data_dir), *more],
        stdout=subprocess.PIPE,
        env=server_environment(),
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process
