from __future__ import annotations

from kvorum.proto.raftpb import Entry, Message, MessageType
from kvorum.raft.readonly import READS_MAX, ReadQueue


def queue(*contexts: bytes) -> ReadQueue:
    made = ReadQueue()
    for index, context in enumerate(contexts, 10):
        made.add(context, Message(MessageType.READ_INDEX, entries=[Entry(data=context)]), index, 1)
    return made


def test_an_echo_confirms_all_reads_asked_before_it() -> None:
    made = queue(b"a", b"b", b"c")
    assert made.acknowledge(2, b"b") == {1: True, 2: True}
    assert [read.index for read in made.take_to(b"b")] == [10, 11]
    assert len(made) == 1
    assert made.acknowledge(2, b"a") == {}, "answered already"


def test_the_next_heartbeat_carries_the_newest_read() -> None:
    assert queue().newest_context() is None
    assert queue().newest_acks() is None
    assert queue(b"a", b"b").newest_context() == b"b"
    assert queue(b"a", b"b").newest_acks() == (b"b", {1: True})


def test_asking_again_keeps_the_first_index() -> None:
    made = queue(b"a", b"b")
    made.add(b"a", Message(), 99, 1)
    assert [read.index for read in made.take_to(b"b")] == [10, 11]


def test_the_queue_is_bounded() -> None:
    made = queue(*(b"%d" % number for number in range(READS_MAX)))
    assert made.full
    made.take_to(b"0")
    assert not made.full
