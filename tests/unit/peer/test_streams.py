"""The two streams between members: what one side writes the other reads, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.errors import DecodeError
from kvorum.peer.messages import MessageDecoder, MessageEncoder
from kvorum.peer.msgapp import ENTRIES_MAX, MsgAppDecoder, MsgAppEncoder
from kvorum.proto.raftpb import Entry, Message, MessageType

LOCAL, REMOTE = 0x11, 0x22
U64_MAX = 2**64 - 1

numbers = st.integers(0, U64_MAX)
messages = st.builds(
    Message,
    type=st.sampled_from([MessageType.APP_RESP, MessageType.VOTE, MessageType.READ_INDEX]),
    to=numbers,
    from_=numbers,
    term=numbers,
    log_term=numbers,
    index=numbers,
    entries=st.lists(st.builds(Entry, data=st.none() | st.binary(max_size=40)), max_size=3),
    commit=numbers,
    reject=st.booleans(),
    reject_hint=numbers,
    context=st.none() | st.binary(max_size=9),
)


@st.composite
def appends(draw: st.DrawFn) -> list[Message]:
    """MsgApps as a leader sends them: mostly each behind the one before, at times with a jump."""
    term, index = 1, 5
    made = []
    for _ in range(draw(st.integers(1, 6))):
        log_term = term
        if draw(st.booleans()):
            term += draw(st.integers(0, 1))
            index += draw(st.integers(0, 3))
        count = draw(st.integers(0, 4))
        entries = [
            Entry(term=term, index=index + n + 1, data=draw(st.none() | st.binary(max_size=20)))
            for n in range(count)
        ]
        commit = draw(st.integers(0, index))
        made.append(Message(MessageType.APP, LOCAL, REMOTE, term, log_term, index, entries, commit))
        index += count
    return made


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(sent=st.lists(messages, max_size=4), size=st.integers(1, 50), legacy=st.booleans())
def test_a_message_stream_gives_back_what_was_sent(
    sent: list[Message], size: int, legacy: bool
) -> None:
    encoder, decoder = MessageEncoder(legacy=legacy), MessageDecoder()
    data = b"".join(encoder.encode(m) + encoder.heartbeat() for m in sent)
    assert [m for piece in pieces(data, size) for m in decoder.feed(piece)] == sent


@given(sent=appends(), size=st.integers(1, 50), legacy=st.booleans())
def test_a_msgapp_stream_gives_back_what_was_sent(
    sent: list[Message], size: int, legacy: bool
) -> None:
    encoder = MsgAppEncoder(legacy=legacy)
    decoder = MsgAppDecoder(remote=REMOTE, local=LOCAL)
    data = b"".join(encoder.encode(m) + encoder.heartbeat() for m in sent)
    assert [m for piece in pieces(data, size) for m in decoder.feed(piece)] == sent


def test_entries_behind_the_last_ones_are_sent_without_their_frame() -> None:
    """Message by message as stock 3.5.1 writes them: in full, then the short form."""
    encoder = MsgAppEncoder(legacy=True)
    first = Message(MessageType.APP, LOCAL, REMOTE, 2, 2, 7, [Entry(term=2, index=8)], 7)
    second = Message(MessageType.APP, LOCAL, REMOTE, 2, 2, 8, [Entry(term=2, index=9)], 8)
    assert encoder.encode(first)[0] == 2
    entry = second.entries[0].encode()
    assert encoder.encode(second) == (
        b"\x01" + (1).to_bytes(8, "big") + len(entry).to_bytes(8, "big") + entry
        + (8).to_bytes(8, "big")
    )  # fmt: skip


def test_the_heartbeat_of_a_link_is_what_stock_sends() -> None:
    assert MessageEncoder(legacy=True).heartbeat().hex() == (
        "000000000000001e" + "08081000180020002800300040004a0a12080a0228001000180050005800"
    )
    assert MessageEncoder(legacy=False).heartbeat().hex() == (
        "0000000000000014" + "0808100018002000280030004000500058006800"
    )
    assert MsgAppEncoder(legacy=False).heartbeat() == b"\0"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff" * 8, id="length-of-all-ones"),
        pytest.param((2).to_bytes(8, "big") + b"\x08\x80", id="cut-varint"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        MessageDecoder().feed(data)
    with pytest.raises(DecodeError):
        MsgAppDecoder(remote=REMOTE, local=LOCAL).feed(b"\x02" + data)


def test_an_unknown_form_and_too_many_entries_are_refused() -> None:
    with pytest.raises(DecodeError, match="form 3"):
        MsgAppDecoder(remote=REMOTE, local=LOCAL).feed(b"\x03")
    with pytest.raises(DecodeError, match="entries were announced"):
        MsgAppDecoder(remote=REMOTE, local=LOCAL).feed(
            b"\x01" + (ENTRIES_MAX + 1).to_bytes(8, "big")
        )
