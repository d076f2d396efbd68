"""Two members over real sockets, and one beside peers that are slow, dead, rude or strange."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from kvorum.peer.messages import MessageEncoder
from kvorum.peer.msgapp import MsgAppEncoder
from kvorum.peer.options import PeerLimits
from kvorum.proto.raftpb import Entry, Message, MessageType, Snapshot, SnapshotMetadata
from kvorum.proto.versions import Version
from tests.unit.peer.sides import (
    STREAM_HEAD,
    WAIT_S,
    Side,
    answer_head,
    chunk,
    fake_peer,
    until_active,
    wait_until,
)

A, B = 0xA, 0xB
DEAD_URL = "http://127.0.0.1:1"


def vote(number: int, to: int = B, from_: int = A) -> Message:
    return Message(MessageType.VOTE, to, from_, number)


def append(index: int, to: int = B, from_: int = A) -> Message:
    return Message(MessageType.APP, to, from_, 1, 1, index - 1, [Entry(0, 1, index, b"x")])


def snapshot(to: int = B) -> Message:
    data = Snapshot(b"{}", SnapshotMetadata(index=5, term=1))
    return Message(MessageType.SNAP, to, A, 1, snapshot=data)


@pytest.mark.parametrize("version", [Version(3, 4), Version(3, 5), Version(3, 6)])
async def test_messages_of_every_kind_arrive_once_and_in_order(version: Version) -> None:
    async with Side(A, version=version) as a, Side(B, version=version) as b:
        a.knows(b)
        b.knows(a)
        await until_active(a, b)
        for number in range(1, 200):
            a.transport.send([append(number), vote(number)])
        await wait_until(lambda: len(b.port.messages) == 398)
        appended = [one for one in b.port.messages if one.type == MessageType.APP]
        voted = [one for one in b.port.messages if one.type == MessageType.VOTE]
        assert appended == [append(number) for number in range(1, 200)]
        assert voted == [vote(number) for number in range(1, 200)]
        assert a.port.unreachable == []


async def test_without_streams_messages_are_posted() -> None:
    """The other side does not know us yet, so it opens no streams."""
    async with Side(A) as a, Side(B) as b:
        a.transport.add_remote(B, [b.url])
        for number in range(20):
            a.transport.send([append(number + 1), vote(number)])
        await wait_until(lambda: len(b.port.messages) == 40)
        assert a.port.unreachable == []
        # It has learnt where we are, by our word.
        b.transport.send([vote(1, to=A, from_=B)])
        await wait_until(lambda: a.port.messages == [vote(1, to=A, from_=B)])


async def test_of_acknowledgements_in_one_batch_only_the_last_is_sent() -> None:
    async with Side(A) as a, Side(B) as b:
        a.knows(b)
        b.knows(a)
        await until_active(a, b)
        batch = [Message(MessageType.APP_RESP, B, A, 1, index=index) for index in range(5)]
        refusal = Message(MessageType.APP_RESP, B, A, 1, index=2, reject=True)
        a.transport.send([batch[0], refusal, *batch[1:]])
        await wait_until(lambda: len(b.port.messages) == 2)
        assert b.port.messages == [refusal, batch[-1]]


async def test_a_peer_that_is_away_is_reported_for_each_message() -> None:
    async with Side(A) as a:
        a.transport.add_peer(B, [DEAD_URL])
        a.transport.send([vote(1), vote(2)])
        await wait_until(lambda: len(a.port.unreachable) == 2)
        assert a.transport.active_since(B) is None


async def test_what_waits_for_a_peer_that_does_not_answer_is_bounded() -> None:
    async def silent(head: bytes, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = PeerLimits(pipeline_count_max=8, pipeline_connections=2)
    async with fake_peer(silent) as url, Side(A, limits=limits, timeout_s=WAIT_S) as a:
        a.transport.add_remote(B, [url])
        a.transport.send([vote(1), vote(2)])
        await asyncio.sleep(0)
        for number in range(100):
            a.transport.send([vote(number)])
        # Two are being posted, eight wait.
        assert len(a.port.unreachable) == 102 - 2 - 8


async def test_a_stream_that_nobody_reads_drops_and_is_closed_in_time() -> None:
    limits = PeerLimits(stream_bytes_max=200_000)
    async with Side(B, limits=limits, timeout_s=0.5) as b:
        b.transport.add_peer(A, [DEAD_URL])
        reader, writer = await open_stream(b, "message")
        peer = b.transport.peer(A)
        assert peer is not None
        big = Message(MessageType.VOTE, A, B, context=bytes(100_000))
        # Until the system's buffers and ours are full.
        for _ in range(1000):
            b.transport.send([big])
        await wait_until(lambda: A in b.port.unreachable)
        await wait_until(lambda: not peer._writers, "the stream is still there")
        # Nothing is kept for whoever does not read.
        await wait_until(lambda: not b.listener.connections, "the connection is still there")
        writer.transport.abort()
        del reader


async def test_a_silent_stream_is_dialled_again() -> None:
    dials: list[bytes] = []

    async def silent(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        dials.append(head)
        writer.write(STREAM_HEAD)
        await reader.read()

    async with fake_peer(silent) as url, Side(A, timeout_s=0.2) as a:
        a.transport.add_peer(B, [url])
        await wait_until(lambda: len(dials) >= 6)
    heads = [head.decode().lower() for head in dials]
    assert all("x-raft-to: b\r\n" in head and "x-server-from: a\r\n" in head for head in heads)
    assert {head.split()[1] for head in heads} == {
        "/raft/stream/message/a",
        "/raft/stream/msgapp/a",
    }


async def test_heartbeats_keep_idle_streams() -> None:
    async with Side(A, timeout_s=0.3) as a, Side(B, timeout_s=0.3) as b:
        a.knows(b)
        b.knows(a)
        await until_active(a, b)
        since = a.transport.active_since(B)
        peer = a.transport.peer(B)
        assert peer is not None
        before = peer.received_bytes
        # More than three read timeouts' worth of heartbeats on both streams.
        await wait_until(lambda: peer.received_bytes > before + 10 * 40)
        assert a.transport.active_since(B) == since


async def test_a_peer_that_refuses_is_dialled_ten_times_a_second_at_most() -> None:
    dials: list[float] = []

    async def refuses(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/message/" in head:
            dials.append(asyncio.get_running_loop().time())
        writer.write(
            answer_head("404 Not Found", ["Content-Length: 2", "Connection: close"]) + b"no"
        )
        await writer.drain()

    async with fake_peer(refuses) as url, Side(A) as a:
        a.transport.add_peer(B, [url])
        await wait_until(lambda: len(dials) == 8)
        gaps = [later - earlier for earlier, later in pairwise(dials)]
        assert min(gaps) >= 0.09
        assert a.port.was_removed == 0


@pytest.mark.parametrize(
    ("status", "removed"),
    [
        ("410 Gone", True),
        ("403 Forbidden", False),
        ("404 Not Found", False),
        ("412 Precondition Failed", False),
        ("500 Internal Server Error", False),
        ("204 No Content", False),
    ],
)
async def test_only_410_on_a_stream_says_that_we_were_removed(status: str, removed: bool) -> None:
    dials = []

    async def answers(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dials.append(head)
        length = [] if status.startswith("204") else ["Content-Length: 0"]
        writer.write(answer_head(status, [*length, "Connection: close"]))
        await writer.drain()

    async with fake_peer(answers) as url, Side(A) as a:
        a.transport.add_peer(B, [url])
        await wait_until(lambda: len(dials) >= 4)
        assert bool(a.port.was_removed) is removed
        assert a.transport.active_since(B) is None


@pytest.mark.parametrize(
    ("status", "removed"),
    [
        ("403 Forbidden", True),
        ("410 Gone", False),
        ("404 Not Found", False),
        ("412 Precondition Failed", False),
        ("500 Internal Server Error", False),
        ("200 OK", False),
    ],
)
async def test_only_403_to_a_post_says_that_we_were_removed(status: str, removed: bool) -> None:
    async def answers(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_head(status, ["Content-Length: 0"]))
        await writer.drain()

    async with fake_peer(answers) as url, Side(A) as a:
        a.transport.add_remote(B, [url])
        a.transport.send([vote(1)])
        await wait_until(lambda: a.port.unreachable == [B])
        assert bool(a.port.was_removed) is removed


async def test_a_newer_stream_takes_the_place_of_the_older() -> None:
    async with Side(B) as b:
        b.transport.add_peer(A, [DEAD_URL])
        older, first = await open_stream(b, "message")
        newer, second = await open_stream(b, "message")
        b.transport.send([vote(7, to=A, from_=B)])
        expected = chunk(MessageEncoder(legacy=True).encode(vote(7, to=A, from_=B)))
        assert await asyncio.wait_for(newer.readuntil(expected), WAIT_S)
        # The end of a chunked body.
        assert await asyncio.wait_for(older.readuntil(b"0\r\n\r\n"), WAIT_S)
        for writer in (first, second):
            writer.close()


async def open_stream(
    side: Side, kind: str, *, from_: int = A, more: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream to a side as a stock member does; its head has been read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", side.number)
    writer.write(
        f"GET /raft/stream/{kind}/{from_:x} HTTP/1.1\r\nHost: x\r\nx-SERVER-from: {from_:x}\r\n"
        "X-Server-Version: 3.5.1\r\nX-Min-Cluster-Version: 3.0.0\r\nx-etcd-cluster-id: c1\r\n"
        f"X-Raft-To: {side.port.member_id:x}\r\n{more}\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
    assert head.startswith(b"HTTP/1.1 200 "), head
    return reader, writer


def message_frames(*messages: Message) -> bytes:
    encoder = MessageEncoder(legacy=True)
    return b"".join(map(encoder.encode, messages))


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_streams_are_read_however_they_are_cut_into_chunks(size: int) -> None:
    """Chunks need not be messages; a chunk may even end in the middle of a length."""
    sent = [append(number, to=A, from_=B) for number in range(1, 30)]
    encoder = MsgAppEncoder(legacy=True)
    data = b"".join(map(encoder.encode, sent))

    async def streams(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(STREAM_HEAD)
        if b"/msgapp/" in head:
            for at in range(0, len(data), size):
                writer.write(chunk(data[at : at + size]))
        await reader.read()

    async with fake_peer(streams) as url, Side(A) as a:
        a.transport.add_peer(B, [url])
        await wait_until(lambda: len(a.port.messages) == len(sent))
        assert a.port.messages == sent


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 8,  # a length without bounds
        b"\0" * 7 + b"\x03" + b"\xff\xff\xff",  # no message
        b"\0" * 7 + b"\x02" + b"\x08\x80",  # one that is cut short
    ],
)
async def test_a_frame_that_cannot_be_read_ends_the_stream_and_it_is_dialled_again(
    data: bytes,
) -> None:
    dials = 0

    async def streams(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal dials
        writer.write(STREAM_HEAD)
        if b"/message/" in head:
            dials += 1
            writer.write(chunk(data))
        await reader.read()

    async with fake_peer(streams) as url, Side(A) as a:
        a.transport.add_peer(B, [url])
        await wait_until(lambda: dials >= 3)
        assert a.port.messages == []


@pytest.mark.parametrize(
    "head", [answer_head("200 OK", ["Transfer-Encoding: chunked"]), b"junk\r\n\r\n"]
)
async def test_a_stream_of_somebody_who_is_no_etcd_is_refused(head: bytes) -> None:
    dials = 0

    async def streams(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dials
        dials += 1
        writer.write(head + chunk(message_frames(vote(1, to=A, from_=B))))
        await reader.read()

    async with fake_peer(streams) as url, Side(A) as a:
        a.transport.add_peer(B, [url])
        await wait_until(lambda: dials >= 4)
        assert a.port.messages == []
        assert a.transport.active_since(B) is None


async def test_a_broken_invariant_of_the_member_does_not_stop_the_stream_silently() -> None:
    """What the member raises for a message is told, and the stream goes on."""
    async with Side(A) as a, Side(B) as b:
        a.knows(b)
        b.knows(a)
        await until_active(a, b)
        b.port.removed.add(A)
        a.transport.send([vote(1)])
        await wait_until(lambda: any("ignored a raft message" in text for text in b.log.told))
        b.port.removed.clear()
        a.transport.send([vote(2)])
        await wait_until(lambda: b.port.messages == [vote(2)])


async def test_a_peer_with_new_urls_is_reached_there() -> None:
    async with Side(A) as a, Side(B) as b:
        b.knows(a)
        a.transport.add_peer(B, [DEAD_URL])
        a.transport.update_peer(B, [b.url])
        await until_active(a, b)
        a.transport.send([vote(3)])
        await wait_until(lambda: b.port.messages == [vote(3)])


async def test_of_several_urls_one_that_works_is_found() -> None:
    async with Side(A) as a, Side(B) as b:
        b.knows(a)
        a.transport.add_peer(B, [DEAD_URL, b.url])
        await until_active(a, b)


async def test_a_removed_peer_is_left_alone() -> None:
    async with Side(A) as a, Side(B) as b:
        a.knows(b)
        b.knows(a)
        await until_active(a, b)
        a.transport.remove_peer(B)
        a.transport.send([vote(1)])
        assert a.port.unreachable == []
        await wait_until(lambda: b.transport.active_since(A) is None)
        assert A in b.port.disconnected
        assert b.port.was_removed == 0


async def test_members_that_are_known_by_their_own_word_only_are_bounded() -> None:
    async with Side(A, limits=PeerLimits(remotes_max=3)) as a:
        for number in range(100):
            a.transport.add_remote(1000 + number, [DEAD_URL])
        assert len(a.transport._remotes) == 3


async def test_a_snapshot_arrives_with_its_database() -> None:
    async with Side(A) as a, Side(B) as b:
        a.transport.add_remote(B, [b.url])
        a.port.database = [b"one", b"two" * 100_000, b"", b"three"]
        a.transport.send([snapshot()])
        await wait_until(lambda: a.port.snapshots == [(B, True)])
        assert b.port.received == [b"".join(a.port.database)]
        (message,) = b.port.messages
        assert message.snapshot is not None
        assert message.snapshot.metadata.index == 9
        assert b.files() == []


async def test_a_snapshot_that_fails_is_reported_and_leaves_nothing() -> None:
    async with Side(A) as a, Side(B) as b:
        a.transport.add_remote(B, [b.url])
        a.port.database = [b"data"]
        b.port.fails_with = OSError("no space left")
        a.transport.send([snapshot()])
        await wait_until(lambda: a.port.snapshots == [(B, False)])
        assert a.port.unreachable == [B]
        assert b.files() == []


async def test_a_snapshot_that_breaks_off_leaves_nothing() -> None:
    async with Side(B) as b:
        _, writer = await begin_snapshot(b)
        await wait_until(b.files)
        writer.transport.abort()
        await wait_until(lambda: not b.files())
        assert b.port.messages == []


async def test_a_snapshot_whose_sender_has_vanished_is_given_up() -> None:
    """Nothing tells so but silence: a machine that is gone closes no connection."""
    async with Side(B, timeout_s=0.1) as b:
        reader, writer = await begin_snapshot(b)
        await wait_until(b.files)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert head.startswith(b"HTTP/1.1 500 ")
        assert b.files() == []
        assert b.port.messages == []
        writer.transport.abort()


async def test_a_snapshot_may_take_longer_than_its_sender_may_be_silent() -> None:
    async with Side(B, timeout_s=0.5) as b:
        reader, writer = await begin_snapshot(b)
        begun_s = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < begun_s + 1.2:
            writer.write(chunk(b"drop"))
            await asyncio.sleep(0.02)  # not a wait: the pace of the sender
        writer.write(b"0\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert head.startswith(b"HTTP/1.1 204 ")
        assert len(b.port.received) == 1
        writer.transport.abort()


async def begin_snapshot(side: Side) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Post a snapshot's message and a part of its database."""
    reader, writer = await asyncio.open_connection("127.0.0.1", side.number)
    writer.write(
        b"POST /raft/snapshot HTTP/1.1\r\nHost: x\r\nX-Server-From: a\r\n"
        b"X-Server-Version: 3.5.1\r\nX-Min-Cluster-Version: 3.0.0\r\n"
        b"X-Etcd-Cluster-ID: c1\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(message_frames(snapshot()))
        + chunk(b"a part of the database")
    )
    return reader, writer


async def test_more_snapshots_than_the_limit_are_refused_at_once() -> None:
    async def silent(head: bytes, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = PeerLimits(snapshots_max=2)
    async with fake_peer(silent) as url, Side(A, limits=limits) as a:
        a.transport.add_peer(B, [url])
        a.transport.send([snapshot(), snapshot(), snapshot()])
        assert a.port.snapshots == [(B, False)]
