"""The slotted raft records against the classes that protobuf makes of raft.proto."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import DecodeError
from kvorum.proto import raft_pb2, raftpb
from kvorum.proto.raftpb import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeV2,
    ConfState,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMetadata,
)

u64 = st.integers(0, 2**64 - 1)
ids = st.lists(u64, max_size=4)
maybe_bytes = st.none() | st.binary(max_size=300)
entries = st.builds(Entry, st.integers(0, 2), u64, u64, maybe_bytes)
conf_states = st.builds(ConfState, ids, ids, ids, ids, st.booleans())
metadata = st.builds(SnapshotMetadata, conf_states, u64, u64)
snapshots = st.builds(Snapshot, maybe_bytes, metadata)
conf_changes = st.builds(ConfChange, u64, st.integers(0, 3), u64, maybe_bytes)
conf_changes_v2 = st.builds(
    ConfChangeV2,
    st.integers(0, 2),
    st.lists(st.builds(ConfChangeSingle, st.integers(0, 3), u64), max_size=3),
    maybe_bytes,
)
real_snapshots = snapshots.filter(lambda snapshot: snapshot.metadata.index > 0)
flat_messages = st.builds(
    Message,
    st.integers(0, 23),
    u64,
    u64,
    u64,
    u64,
    u64,
    st.lists(entries, max_size=3),
    u64,
    st.none() | real_snapshots,
    st.booleans(),
    u64,
    maybe_bytes,
    u64,
)


@pytest.mark.parametrize(
    ("strategy", "reference"),
    [
        (entries, raft_pb2.Entry),
        (conf_states, raft_pb2.ConfState),
        (snapshots, raft_pb2.Snapshot),
        (conf_changes, raft_pb2.ConfChange),
        (conf_changes_v2, raft_pb2.ConfChangeV2),
        (st.builds(HardState, u64, u64, u64), raft_pb2.HardState),
        (flat_messages, raft_pb2.Message),
    ],
)
def test_a_record_is_written_as_protobuf_writes_it(strategy: Any, reference: Any) -> None:
    @given(strategy)
    def check(record: Any) -> None:
        data = record.encode()
        # Every scalar was written, zero or not, so what protobuf read it writes again alike.
        assert reference.FromString(data).SerializeToString() == data
        assert type(record).decode(data) == record

    check()


def test_the_first_records_of_a_stock_log_are_written_byte_for_byte() -> None:
    """Bytes from shared facts, disk.md section 2."""
    assert HardState(1, 0, 1).encode() == bytes.fromhex("080110001801")
    assert Entry(0, 2, 2, None).encode() == bytes.fromhex("080010021802")
    assert Entry(0, 1, 1, b"").encode().endswith(b"\x22\x00")


def test_the_heartbeat_of_a_stock_member_is_read_and_written() -> None:
    """Bytes from shared facts, peer.md section 3."""
    stock = bytes.fromhex("08081000180020002800300040004a0a12080a0228001000180050005800")
    message = Message.decode(stock)
    assert message == Message(type=raftpb.MessageType.HEARTBEAT)
    assert message.encode(legacy_snapshot_field=True) == stock


def test_packed_lists_of_ids_are_read_too() -> None:
    assert ConfState.decode(b"\x0a\x03\x01\x96\x01").voters == [1, 150]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_decode_error(data: bytes) -> None:
    for kind in (Entry, HardState, ConfState, Snapshot, Message, ConfChange, ConfChangeV2):
        try:
            kind.decode(data)
        except DecodeError as error:
            assert str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x0a\x05ab", b"\x08" + b"\xff" * 10 + b"\x01", b"\x07"]
)
def test_cut_or_wild_records_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        HardState.decode(data)
