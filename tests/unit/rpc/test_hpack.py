"""The decoder of header blocks, against the encoder of the library hpack."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.rpc.http2 import hpack as ours
from kvorum.rpc.http2.errors import ErrorCode, Http2Error
from kvorum.rpc.http2.hpack import HeaderDecoder, indexed_literal, literal

NAMES = st.one_of(
    st.sampled_from([b":path", b":method", b"content-type", b"te", b"grpc-timeout", b"x"]),
    st.binary(min_size=1, max_size=20),
)
VALUES = st.one_of(
    st.sampled_from([b"POST", b"GET", b"application/grpc", b"trailers", b""]),
    st.binary(max_size=300),
)
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=12)


@given(st.lists(st.tuples(FIELDS, st.booleans(), st.none() | st.integers(0, 4096)), max_size=12))
def test_what_another_encoder_writes_is_read_back(
    blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool, int | None]],
) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder()
    for fields, huffman, table_size in blocks:
        if table_size is not None:
            encoder.header_table_size = table_size
        block = encoder.encode(fields, huffman=huffman)
        expected = [(name, value) for name, value, _ in fields]
        assert list(decoder.decode(block)) == expected


@given(FIELDS)
def test_a_block_that_is_repeated_reads_the_same(fields: list[tuple[bytes, bytes, bool]]) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder()
    expected = [(name, value) for name, value, _ in fields]
    for _ in range(4):
        assert list(decoder.decode(encoder.encode(fields))) == expected


def test_a_remembered_block_is_forgotten_when_the_table_changes() -> None:
    decoder = HeaderDecoder()
    decoder.decode(indexed_literal(b"a", b"1"))
    assert list(decoder.decode(b"\xbe")) == [(b"a", b"1")]
    assert list(decoder.decode(b"\xbe")) == [(b"a", b"1")]
    decoder.decode(indexed_literal(b"b", b"2"))
    assert list(decoder.decode(b"\xbe")) == [(b"b", b"2")]


def test_old_entries_leave_the_table_for_new_ones() -> None:
    decoder = HeaderDecoder()
    for n in range(200):
        decoder.decode(indexed_literal(b"n%d" % n, b"v" * 100))
    # Each takes 32 and its own bytes: 30 of them have room.
    assert list(decoder.decode(b"\xbe")) == [(b"n199", b"v" * 100)]
    assert list(decoder.decode(bytes((0x80 | 62 + 29,)))) == [(b"n170", b"v" * 100)]
    with pytest.raises(Http2Error, match="outside of the header table"):
        decoder.decode(bytes((0x80 | 62 + 30,)))


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = HeaderDecoder()
    decoder.decode(indexed_literal(b"a", b"1"))
    assert list(decoder.decode(indexed_literal(b"b", b"x" * 5000))) == [(b"b", b"x" * 5000)]
    with pytest.raises(Http2Error, match="outside of the header table"):
        decoder.decode(b"\xbe")


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(block: bytes) -> None:
    refused, fields = None, []
    try:
        fields = list(HeaderDecoder().decode(block))
    except Http2Error as error:
        refused = error.code
    if refused is None:
        assert [tuple(one) for one in hpack.Decoder().decode(block, raw=True)] == fields
    else:
        assert refused in {ErrorCode.COMPRESSION_ERROR, ErrorCode.ENHANCE_YOUR_CALM}


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"\x80", "outside of the header table"),
        (b"\xff", "ends too early"),
        (b"\xff" + b"\xff" * 8, "integer in a header block is too long"),
        (b"\x40\x05ab", "cut short"),
        (b"\x40", "ends too early"),
        (b"\x3f\xe2\x1f", "table size update"),
        (b"\x82\x20", "table size update"),
        (b"\x00\x81\x00\x00", "Huffman"),
    ],
)
def test_a_malformed_block_ends_the_connection(block: bytes, reason: str) -> None:
    with pytest.raises(Http2Error, match=reason) as caught:
        HeaderDecoder().decode(block)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_small_block_of_many_large_fields_is_refused() -> None:
    """One entry of 4 kB, and an index of one byte for each time it is meant again."""
    decoder = HeaderDecoder()
    decoder.decode(indexed_literal(b"a", b"x" * 4000))
    with pytest.raises(Http2Error) as caught:
        decoder.decode(b"\xbe" * 17)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM


def test_long_blocks_and_strings_are_not_remembered() -> None:
    decoder = HeaderDecoder()
    long = literal(b"a", b"x" * 2000)
    assert decoder.decode(long) is not decoder.decode(long)
    short = literal(b"a", b"x")
    assert decoder.decode(short) is decoder.decode(short)
    before = ours._huffman_remembered.cache_info().currsize
    encoded = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("a", "b" * 900)])
    assert list(decoder.decode(encoded)) == [(b"a", b"b" * 900)]
    assert ours._huffman_remembered.cache_info().currsize <= before + 1  # the name


@given(st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=20))
def test_what_we_write_is_read_by_another_decoder(fields: list[tuple[bytes, bytes, bool]]) -> None:
    decoder = hpack.Decoder()
    for name, value, indexed in fields:
        block = (indexed_literal if indexed else literal)(name, value)
        assert [tuple(one) for one in decoder.decode(block, raw=True)] == [(name, value)]
