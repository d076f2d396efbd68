from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvorum.errors import CorruptionError
from kvorum.mvcc.keyvalue import (
    encode_put,
    encode_tombstone,
    key_of,
    mod_field,
    parse,
    value_of,
    without_value,
)
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.wire import varint

REVISIONS = st.integers(1, (1 << 63) - 1)
KEYS = st.one_of(st.binary(max_size=20), st.integers(120, 300).map(lambda n: b"k" * n))


@given(value=st.integers(-(1 << 63), (1 << 64) - 1))
@example(0x3FFF)
@example(0x4000)
@example(0xFFFFFFF)
@example(0x10000000)
def test_varint_is_a_varint(value: int) -> None:
    assert varint(value) == varint(value)


@given(
    key=KEYS,
    create=REVISIONS,
    mod=REVISIONS,
    version=REVISIONS,
    value=st.binary(max_size=200),
    lease=st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_a_put_is_encoded_as_protobuf_encodes_it(
    key: bytes, create: int, mod: int, version: int, value: bytes, lease: int
) -> None:
    stored = encode_put(key, create, mod_field(mod), version, value, lease)
    kv = KeyValue(
        key=key,
        create_revision=create,
        mod_revision=mod,
        version=version,
        value=value,
        lease=lease,
    )
    assert stored == kv.SerializeToString()
    assert parse(stored) == kv
    assert key_of(stored) == key
    assert value_of(stored) == value
    kv.ClearField("value")
    assert without_value(stored) == kv.SerializeToString()


@given(key=KEYS)
def test_a_tombstone_holds_the_key_alone(key: bytes) -> None:
    assert encode_tombstone(key) == KeyValue(key=key).SerializeToString()
    assert key_of(encode_tombstone(key)) == key


def test_the_row_that_a_revision_bump_leaves_has_an_empty_key() -> None:
    assert key_of(b"") == b""


@given(key=KEYS, value=st.binary(max_size=20))
def test_fields_in_another_order_are_read_too(key: bytes, value: bytes) -> None:
    stored = KeyValue(value=value, version=4).SerializeToString() + encode_tombstone(key)
    assert key_of(stored) == key
    assert value_of(stored) == value
    assert KeyValue.FromString(without_value(stored)) == KeyValue(key=key, version=4)


@pytest.mark.parametrize("stored", [b"\x0a", b"\x0a\x05abc", b"\xff\xff", b"\x0a\xff"])
def test_a_row_that_is_no_key_value_is_damage(stored: bytes) -> None:
    with pytest.raises(CorruptionError, match="is no KeyValue"):
        key_of(stored)
    with pytest.raises(CorruptionError, match="is no KeyValue"):
        value_of(stored)
