"""The chunked coding: read as h11 writes it, however it is cut, and refused where it is none."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import DecodeError
from kvorum.peer.chunks import LINE_BYTES_MAX, ChunkDecoder


def coded(parts: list[bytes], *, ended: bool) -> bytes:
    """What h11 makes of a body."""
    machine = h11.Connection(h11.SERVER)
    machine.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    machine.next_event()
    machine.next_event()
    machine.send(h11.Response(status_code=200, headers=[]))
    data = b"".join(machine.send(h11.Data(data=part)) or b"" for part in parts)
    return data + (machine.send(h11.EndOfMessage()) or b"") if ended else data


@given(
    parts=st.lists(st.binary(max_size=40), max_size=6), size=st.integers(1, 60), ended=st.booleans()
)
def test_a_body_comes_out_as_it_went_in(parts: list[bytes], size: int, ended: bool) -> None:
    data, decoder = coded(parts, ended=ended), ChunkDecoder()
    found = [decoder.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert b"".join(found) == b"".join(parts)
    assert decoder.ended is ended


def feed_all(decoder: ChunkDecoder, data: bytes, size: int) -> None:
    for at in range(0, len(data), size):
        decoder.feed(data[at : at + size])


def test_extensions_are_passed_over() -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(b"3;name=value\r\nabc\r\n0\r\n\r\n") == b"abc"
    assert decoder.ended


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"1_0\r\n",
        b"0x1\r\n",
        b"11111111111111111\r\n",
        b"3\r\nabcd\r\n",
        b"1\r\na\n\r",
        b"1;" + b"x" * LINE_BYTES_MAX + b"\r\n",
        b"1" * (LINE_BYTES_MAX + 1),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5000])
def test_what_is_no_chunk_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(DecodeError):
        feed_all(ChunkDecoder(), data, size)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    decoder = ChunkDecoder()
    try:
        assert len(decoder.feed(data)) <= len(data)
    except DecodeError:
        assert not decoder.ended
