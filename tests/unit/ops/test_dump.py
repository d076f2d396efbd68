from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvorum.errors import ConfigError, CorruptionError
from kvorum.ops.dump import LogFilter, dump_bucket, dump_log, list_buckets, log_directory
from kvorum.ops.dump_requests import REDACTED
from kvorum.proto.auth_pb2 import Permission
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.raftpb import ConfChange, ConfChangeType, ConfState, Entry, EntryType, HardState
from kvorum.proto.rpc_pb2 import (
    AuthRoleGrantPermissionRequest,
    AuthUserAddRequest,
    Compare,
    PutRequest,
    RequestOp,
    TxnRequest,
)
from kvorum.proto.versions import MIN_CLUSTER_VERSION
from kvorum.server.v2requests import publish_version
from kvorum.wal import Wal, WalSnapshot
from tests.unit.ops.files import LONG_NAME, PASSWORD

SECRET = "pass word"


def internal(**fields: Any) -> bytes:
    request = InternalRaftRequest(**fields)
    request.header.ID = 77
    return request.SerializeToString()


ENTRIES: list[bytes | None] = [
    None,
    internal(put=PutRequest(key=b"k", value=b"v", lease=5)),
    internal(
        txn=TxnRequest(
            compare=[Compare(key=b"k", version=1)],
            success=[RequestOp(request_put=PutRequest(key=b"a", value=b"b"))],
        )
    ),
    internal(auth_user_add=AuthUserAddRequest(name="ann", password=SECRET, hashedPassword=SECRET)),
    internal(
        auth_role_grant_permission=AuthRoleGrantPermissionRequest(
            name="r", perm=Permission(permType=2, key=b"a", range_end=b"z")
        )
    ),
    publish_version(5, MIN_CLUSTER_VERSION),
    b"\xff\xff\xff",
]


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    """A log of two segments at least."""
    directory = tmp_path / "data/member/wal"
    directory.parent.mkdir(parents=True)
    change = ConfChange(
        id=0, type=ConfChangeType.ADD_NODE, node_id=5, context=b'{"id":5,"peerURLs":["u"]}'
    )
    with Wal.create(directory, b"\x08\x05\x10\x06", segment_bytes=400) as wal:
        first = Entry(EntryType.CONF_CHANGE, 1, 1, change.encode())
        wal.save(HardState(term=1, vote=5, commit=1), [first], must_sync=True)
        for index, data in enumerate(ENTRIES, 2):
            wal.save(None, [Entry(EntryType.NORMAL, 2, index, data)], must_sync=True)
        wal.save_snapshot(WalSnapshot(2, 2, ConfState(voters=[5])))
    assert len(list(directory.glob("*.wal"))) > 1
    return directory


def test_every_record_is_shown_and_decoded(log_dir: Path) -> None:
    lines = list(dump_log(log_dir))
    assert [line.kind for line in lines[:4]] == ["metadata", "snapshot", "entry", "state"]
    assert lines[0].fields == {"node_id": 5, "cluster_id": 6}
    assert lines[3].fields == {"term": 1, "vote": 5, "commit": 1}
    entries = [line for line in lines if line.kind == "entry"]
    assert [(line.term, line.index) for line in entries] == [(1, 1)] + [
        (2, index) for index in range(2, 2 + len(ENTRIES))
    ]
    assert [line.method for line in entries] == [
        "conf_change",
        "empty",
        "put",
        "txn",
        "auth_user_add",
        "auth_role_grant_permission",
        "v2_request",
        "unknown",
    ]
    assert entries[0].fields == {
        "id": 0,
        "type": "add_node",
        "node_id": 5,
        "context": '{"id":5,"peerURLs":["u"]}',
    }
    assert entries[2].fields == {
        "header": {"ID": 77},
        "put": {"key": b"k", "value": b"v", "lease": 5},
    }
    put = {"request_put": {"key": b"a", "value": b"b"}}
    assert entries[3].fields["txn"]["success"] == [put]
    assert entries[5].fields["auth_role_grant_permission"]["perm"]["permType"] == "READWRITE"
    assert entries[6].fields["Path"] == "/0/version"
    assert "error" in entries[7].fields
    snapshot = next(line for line in lines if line.kind == "snapshot" and line.index)
    assert (snapshot.index, snapshot.term, snapshot.fields["voters"]) == (2, 2, [5])


def test_no_secret_is_shown(log_dir: Path, database: Path) -> None:
    shown = str(list(dump_log(log_dir)))
    assert SECRET not in shown
    assert REDACTED in shown
    rows = str(list(dump_bucket(database, "authUsers")))
    assert PASSWORD.decode() not in rows
    assert REDACTED in rows


def test_a_filter_chooses_by_index_kind_and_method(log_dir: Path) -> None:
    def indexes(wanted: LogFilter) -> list[int]:
        return [line.index for line in dump_log(log_dir, wanted)]

    entries = frozenset({"entry"})
    assert indexes(LogFilter(kinds=entries, first_index=3, last_index=5)) == [3, 4, 5]
    assert indexes(LogFilter(kinds=entries, methods=frozenset({"put", "txn"}))) == [3, 4]
    assert {line.kind for line in dump_log(log_dir, LogFilter(kinds=frozenset({"crc"})))} == {"crc"}


def test_a_record_is_found_where_the_line_says(log_dir: Path) -> None:
    for line in dump_log(log_dir):
        content = (log_dir / line.segment).read_bytes()
        length = int.from_bytes(content[line.offset : line.offset + 7], "little")
        assert content[line.offset + 8] == 0x08
        assert length > line.size_bytes


def test_a_log_is_found_from_its_data_directory(log_dir: Path) -> None:
    for path in (log_dir, log_dir.parent, log_dir.parent.parent):
        assert log_directory(path) == log_dir
    with pytest.raises(ConfigError, match=r"has no log: no \*\.wal files"):
        log_directory(log_dir.parent.parent.parent)


def test_what_stands_before_the_damage_is_shown(log_dir: Path) -> None:
    lines = list(dump_log(log_dir))
    at = next(line for line in lines if line.method == "put")
    path = log_dir / at.segment
    content = bytearray(path.read_bytes())
    content[at.offset + 20] ^= 1
    path.write_bytes(content)
    seen = []

    def look() -> None:
        for line in dump_log(log_dir):
            seen.append(line)

    with pytest.raises(CorruptionError, match=f"{at.segment} at offset {at.offset}: wal: crc"):
        look()
    assert seen == lines[: lines.index(at)]


@pytest.mark.parametrize("kind", ["database", "snapshot"])
def test_buckets_are_listed_with_their_sizes(kind: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(kind)
    found = {info.name: info for info in list_buckets(path)}
    assert list(found) == sorted(found)
    assert len(found) == 10
    assert (found["members"].rows, found["members"].key_bytes) == (1, 3)
    for name, info in found.items():
        assert len(list(dump_bucket(path, name))) == info.rows


@pytest.mark.parametrize("kind", ["database", "snapshot"])
def test_rows_are_decoded(kind: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(kind)

    def shown(bucket: str) -> dict[str, Any]:
        return {row.shown_key: row.fields for row in dump_bucket(path, bucket)}

    keys = shown("key")
    assert "error" not in str(keys)
    newest = list(keys)[-1]
    assert keys[newest]["value"] == b"born again"
    assert keys[newest]["mod_revision"] == int(newest.split("/")[0])
    tombstones = [fields for key, fields in keys.items() if key.endswith("tombstone")]
    assert {"key": b"key001"} in tombstones
    assert shown("lease") == {f"{7:016x}": {"ID": 7, "TTL": 100}}
    assert shown("alarm") == {"abc": {"memberID": 0xABC, "alarm": "NOSPACE"}}
    assert shown("auth") == {"authRevision": {"value": 3}}
    assert set(shown("authUsers")) == {"ann", LONG_NAME.decode()}
    assert shown("members") == {"abc": {"id": 2748, "peerURLs": ["http://old:2380"]}}
    assert shown("members_removed") == {"def": {"value": "removed"}}
    assert shown("cluster") == {"clusterVersion": {"value": "3.5.0"}}
    meta = shown("meta")
    assert meta["consistent_index"] == {"value": 99}
    assert meta["finishedCompactRev"] == {"value": "25/0"}
    assert meta["confState"] == {"voters": [2748], "auto_leave": False}


def test_rows_can_begin_at_a_key_and_an_unknown_bucket_is_refused(database: Path) -> None:
    rows = list(dump_bucket(database, "key"))
    assert list(dump_bucket(database, "key", start=rows[3].key)) == rows[3:]
    with pytest.raises(ConfigError, match=r"has no bucket 'keys'; it has alarm, auth,"):
        list(dump_bucket(database, "keys"))
