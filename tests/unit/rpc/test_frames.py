"""Messages of gRPC in a body that comes in pieces."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import Code, StatusError, status_of
from kvorum.rpc.frames import FrameReader, check_encoding, frame


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans())), st.integers(1, 50))
def test_messages_come_out_as_they_went_in(messages: list[tuple[bytes, bool]], cut: int) -> None:
    body = b""
    for message, packed in messages:
        data = gzip.compress(message) if packed else message
        body += bytes((packed,)) + len(data).to_bytes(4, "big") + data
    reader, found = FrameReader(1000, b"gzip"), []
    for at in range(0, len(body), cut):
        reader.feed(body[at : at + cut])
        while (message := reader.take()) is not None:
            found.append(message)
    assert found == [message for message, _ in messages]
    assert reader.size == 0


def refusal(body: bytes, encoding: bytes = b"", size_max: int = 1000) -> tuple[Code, str]:
    reader = FrameReader(size_max, encoding)
    reader.feed(body)
    with pytest.raises(StatusError) as caught:
        reader.take()
    return Code(status_of(caught.value)), caught.value.message


def packed(data: bytes) -> bytes:
    return b"\1" + len(data).to_bytes(4, "big") + data


def test_a_message_that_is_too_large_is_refused_by_its_first_bytes() -> None:
    expected = (
        Code.RESOURCE_EXHAUSTED,
        "grpc: received message larger than max (1001 vs. 1000)",
    )
    assert refusal(frame(b"x" * 1001)[:5]) == expected
    reader = FrameReader(1000)
    reader.feed(frame(b"x" * 1000))
    assert reader.take() == b"x" * 1000


def test_the_limit_counts_what_comes_out_of_gzip() -> None:
    body = packed(gzip.compress(b"\0" * 5000, mtime=0))
    code, text = refusal(body, b"gzip")
    assert (code, text) == (
        Code.RESOURCE_EXHAUSTED,
        "grpc: received message larger than max (5000 vs. 1000)",
    )


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"\2" + frame(b"a")[1:], b"", "grpc: received unexpected payload format 2"),
        (packed(b"a"), b"", "grpc: compressed flag set with identity or empty encoding"),
        (packed(b"a"), b"identity", "grpc: compressed flag set with identity or empty encoding"),
        (
            packed(b"a" * 20),
            b"gzip",
            "failed to decompress the received message gzip: invalid header",
        ),
        (packed(b"a"), b"gzip", "grpc: failed to decompress the received message unexpected EOF"),
        (packed(gzip.compress(b"abc", mtime=0)[:-3]), b"gzip", "unexpected EOF"),
        (
            packed(gzip.compress(b"abc", mtime=0)[:-8] + b"\0" * 8),
            b"gzip",
            "failed to decompress the received message gzip: invalid checksum",
        ),
    ],
)
def test_a_message_that_cannot_be_unpacked_is_refused(
    body: bytes, encoding: bytes, reason: str
) -> None:
    code, text = refusal(body, encoding)
    assert code == Code.INTERNAL
    assert reason in text


def test_only_known_encodings_are_taken() -> None:
    for known in (b"", b"identity", b"gzip"):
        check_encoding(known)
    with pytest.raises(StatusError, match='Decompressor is not installed for grpc-encoding "br"'):
        check_encoding(b"br")
