"""The version-2 dump: ours reads back, stock's is read, and stock starts from ours."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cluster.member import Member
from kvorum.cluster.v2store import decode, encode
from kvorum.errors import DecodeError
from kvorum.proto.raftpb import ConfState, Snapshot, SnapshotMetadata
from kvorum.proto.versions import Version
from kvorum.proto.wire import delimited, varint
from tests.stock import start_stock_etcd

A = Member(id=0xA, peer_urls=("http://a:1",), name="a", client_urls=("http://a:2",))
LEARNER = Member(id=0xB, peer_urls=("http://b:1",), is_learner=True)

# As stock 3.5.1 wrote it (a started member and an added learner), history and statistics cut.
_STOCK = """
{"Root":{"Path":"/","CreatedIndex":0,"ModifiedIndex":0,"ExpireTime":"0001-01-01T00:00:00Z",
"Value":"","Children":{"0":{"Path":"/0","CreatedIndex":0,"ModifiedIndex":0,
"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{"members":{"Path":"/0/members",
"CreatedIndex":1,"ModifiedIndex":1,"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{
"692856fe690b244b":{"Path":"/0/members/692856fe690b244b","CreatedIndex":1,"ModifiedIndex":1,
"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{"attributes":{
"Path":"/0/members/692856fe690b244b/attributes","CreatedIndex":2,"ModifiedIndex":2,
"ExpireTime":"0001-01-01T00:00:00Z",
"Value":"{\\"name\\":\\"a\\",\\"clientURLs\\":[\\"http://127.0.0.1:45982\\"]}","Children":null},
"raftAttributes":{"Path":"/0/members/692856fe690b244b/raftAttributes","CreatedIndex":1,
"ModifiedIndex":1,"ExpireTime":"0001-01-01T00:00:00Z",
"Value":"{\\"peerURLs\\":[\\"http://127.0.0.1:45981\\"]}","Children":null}}},
"f161cf800a794f8d":{"Path":"/0/members/f161cf800a794f8d","CreatedIndex":4,"ModifiedIndex":4,
"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{"raftAttributes":{
"Path":"/0/members/f161cf800a794f8d/raftAttributes","CreatedIndex":4,"ModifiedIndex":4,
"ExpireTime":"0001-01-01T00:00:00Z",
"Value":"{\\"peerURLs\\":[\\"http://127.0.0.1:45999\\"],\\"isLearner\\":true}","Children":null}}}}},
"version":{"Path":"/0/version","CreatedIndex":3,"ModifiedIndex":3,
"ExpireTime":"0001-01-01T00:00:00Z","Value":"3.5.0","Children":null}}},"1":{"Path":"/1",
"CreatedIndex":0,"ModifiedIndex":0,"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{}}}},
"WatcherHub":{"EventHistory":{"Queue":{"Events":[null],"Size":5,"Front":0,"Back":5,
"Capacity":1000},"StartIndex":1,"LastIndex":5}},"CurrentIndex":5,"Stats":{"getsSuccess":2},
"CurrentVersion":2}
"""


def test_a_stock_dump_is_read() -> None:
    found = decode(_STOCK.encode())
    assert found.members == {
        0x692856FE690B244B: Member(
            id=0x692856FE690B244B,
            peer_urls=("http://127.0.0.1:45981",),
            name="a",
            client_urls=("http://127.0.0.1:45982",),
        ),
        0xF161CF800A794F8D: Member(
            id=0xF161CF800A794F8D, peer_urls=("http://127.0.0.1:45999",), is_learner=True
        ),
    }
    assert (found.removed, found.version, found.user_keys) == (set(), Version(3, 5, 0), ())


def test_what_is_written_reads_back() -> None:
    found = decode(encode([A, LEARNER], [7, 8], Version(3, 6, 0)))
    assert found.members == {A.id: A, LEARNER.id: LEARNER}
    assert (found.removed, found.version) == ({7, 8}, Version(3, 6, 0))


def test_equal_membership_gives_equal_bytes() -> None:
    assert encode([LEARNER, A], [8, 7], None) == encode([A, LEARNER], [7, 8], None)


def test_nodes_have_the_form_of_stocks() -> None:
    tree = json.loads(encode([A], [7], Version(3, 6, 0)))
    stock = json.loads(_STOCK)
    ours = tree["Root"]["Children"]["0"]["Children"]
    theirs = stock["Root"]["Children"]["0"]["Children"]
    assert list(ours["version"]) == list(theirs["version"])
    assert ours["members"]["Children"]["a"]["Path"] == "/0/members/a"
    assert ours["members"]["Children"]["a"]["Children"]["attributes"]["Children"] is None
    assert ours["removed_members"]["Children"]["7"]["Value"] == ""
    assert tree["Root"]["Children"]["1"] == stock["Root"]["Children"]["1"]
    assert tree["CurrentVersion"] == 2


def test_version_2_data_of_users_is_told() -> None:
    tree = json.loads(encode([A], [], None))
    folder = dict(tree["Root"]["Children"]["1"], Path="/1/dir")
    folder["Children"] = {"key": {"Path": "/1/dir/key", "Value": "v", "Children": None}}
    tree["Root"]["Children"]["1"]["Children"] = {"dir": folder}
    assert decode(json.dumps(tree).encode()).user_keys == ("/1/dir/key",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "v2 store is not JSON"),
        (b"{}", "has no root"),
        (b'{"Root":{"Children":[]}}', None),
        (b'{"Root":{"Children":{"0":3}}}', "a node is not an object"),
        (b'{"Root":{"Children":{"0":{"Children":7}}}}', "are not an object"),
        (b'{"Root":{"Children":{"0":{"Children":{"version":{"Value":3}}}}}}', "without a value"),
        (b'{"Root":{"Children":{"0":{"Children":{"version":{"Value":"x"}}}}}}', "cluster version"),
        (
            b'{"Root":{"Children":{"0":{"Children":{"members":{"Children":{"z":{}}}}}}}}',
            "is not a member id",
        ),
        (
            b'{"Root":{"Children":{"0":{"Children":{"members":{"Children":{"a":{}}}}}}}}',
            "member a has no raftAttributes",
        ),
    ],
)
def test_a_damaged_dump_is_refused_with_a_reason(data: bytes, reason: str | None) -> None:
    if reason is None:  # an empty list is an empty folder, as for Go
        assert decode(data).members == {}
        return
    with pytest.raises(DecodeError, match=reason):
        decode(data)


_KEYS = st.sampled_from(["Root", "Children", "0", "1", "members", "version", "Value", "a"])
_JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.dictionaries(_KEYS, inner),
    max_leaves=20,
)


@given(_JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(DecodeError):
        assert decode(json.dumps({"Root": value}).encode()).members == {}


def snap_file(data: bytes, index: int, term: int, voters: list[int]) -> bytes:
    """A `.snap` file around `data`, put together by hand (shared facts, disk.md section 3)."""
    metadata = SnapshotMetadata(ConfState(voters=voters), index, term)
    body = Snapshot(data, metadata).encode()
    return b"\x08" + varint(google_crc32c.value(body)) + delimited(b"\x12", body)


def test_stock_starts_from_our_dump(tmp_path: Path) -> None:
    """Stock 3.5 takes its members from the dump alone, so it must list what ours added."""
    data_dir = tmp_path / "data"
    flags = "--snapshot-count=2"
    with start_stock_etcd(None, flags, data_dir=data_dir) as stock:
        before = stock.etcdctl("member", "list").split(", ")
        for number in range(10):
            stock.etcdctl("put", f"k{number}", "v")
    snap = sorted((data_dir / "member" / "snap").glob("*.snap"))[-1]
    term, index = (int(part, 16) for part in snap.stem.split("-"))
    stock_id = int(before[0], 16)
    stock_member = Member(id=stock_id, peer_urls=(before[3],), name=before[2])
    dump = encode([stock_member, LEARNER], [0x77], Version(3, 5, 0))
    snap.write_bytes(snap_file(dump, index, term, [stock_id]))
    with start_stock_etcd(None, flags, data_dir=data_dir) as stock:
        listed = stock.etcdctl("member", "list").splitlines()
        value = stock.etcdctl("get", "k9", "--print-value-only")
    assert listed[0] == "b, unstarted, , http://b:1, , true"
    assert listed[1].startswith(f"{stock_id:x}, started, stock, {before[3]}, ")
    assert value == "v\n"
