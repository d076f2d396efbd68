"""The peer port and senders that are none of ours, or talk nonsense."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from kvorum.peer.http import PeerConnection
from kvorum.peer.metrics import peer_values
from kvorum.peer.options import PeerOptions, request_headers
from kvorum.proto.raftpb import Message, MessageType, Snapshot, SnapshotMetadata
from tests.unit.peer.sides import CLUSTER_ID, NEWEST, Side, until_active, wait_until

A, B, STRANGER = 0xA, 0xB, 0xD
SNAPSHOT = Message(
    MessageType.SNAP, B, A, 1, snapshot=Snapshot(b"{}", SnapshotMetadata(index=5, term=1))
)
OURS, THEIRS = CLUSTER_ID, 0xBEEF


async def post(
    side: Side, *more: tuple[str, str], cluster_id: int = OURS, body: bytes = b""
) -> int:
    """POST /raft as the stranger. Returns the status."""
    options = PeerOptions(member_id=STRANGER, cluster_id=cluster_id, version=NEWEST, peer_urls=())
    connection = PeerConnection(side.url, dial_timeout_s=5.0, io_timeout_s=5.0)
    try:
        head = [*request_headers(options), *more]
        return (await connection.request("POST", "/raft", head, body)).status
    finally:
        connection.close()


def shown(side: Side) -> dict[str, Any]:
    values = peer_values(side.transport, side.service.figures)
    return {name.removeprefix("etcd_network_"): value for name, value in values.items()}


def told_of(side: Side, text: str) -> list[str]:
    return [line for line in side.log.told if text in line]


async def test_a_sender_of_another_cluster_is_told_in_the_log_until_it_is_let_in() -> None:
    line = "request sent was ignored due to cluster ID mismatch"
    async with Side(A) as a:
        for _ in range(3):
            assert await post(a, cluster_id=THEIRS) == 412
        (told,) = told_of(a, line)
        assert f"'remote_peer_id': '{STRANGER:x}'" in told
        assert "'remote_peer_cluster_id': 'beef'" in told
        assert f"'local_member_cluster_id': '{OURS:x}'" in told
        message = Message(MessageType.VOTE, A, STRANGER, 1).encode(legacy_snapshot_field=True)
        assert await post(a, body=message) == 204
        assert await post(a, cluster_id=THEIRS) == 412
        assert len(told_of(a, line)) == 2


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1:1", "http://127.0.0.1", "x"])
async def test_a_sender_that_tells_no_url_is_not_remembered(url: str) -> None:
    async with Side(A) as a:
        assert await post(a, ("X-PeerURLs", url), body=b"\xff") == 400
        assert a.transport._remotes == {}
        assert await post(a, ("X-PeerURLs", "http://127.0.0.1:1"), body=b"\xff") == 400
        assert list(a.transport._remotes) == [STRANGER]


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"revision":' + b"9" * 50_000, b"\xff", b"NaN"])
async def test_a_question_that_is_no_json_is_refused(body: bytes) -> None:
    async with Side(A) as a:
        connection = PeerConnection(a.url, dial_timeout_s=5.0, io_timeout_s=5.0)
        answer = await connection.request("GET", "/members/hashkv", body=body)
        connection.close()
        assert (answer.status, answer.text) == (400, "error unmarshalling request")


async def test_bytes_failures_and_snapshots_are_counted_by_peer() -> None:
    async with Side(A) as a, Side(B) as b:
        a.knows(b)
        b.knows(a)
        await until_active(a, b)
        a.transport.send([Message(MessageType.VOTE, B, A, 1, context=b"x" * 1000)])
        await wait_until(lambda: b.port.messages)
        sent, received = shown(a), shown(b)
        assert sent["known_peers"] == {("a", "a"): 1, ("a", "b"): 1}
        assert sent["active_peers"] == {("a", "b"): 1}
        assert 1000 < sent["peer_sent_bytes_total"][("b",)] < 2000
        assert 1000 < received["peer_received_bytes_total"][("a",)] < 2000
        assert sent["peer_sent_failures_total"] == {}
        a.port.database = [b"data"]
        a.transport.send([SNAPSHOT])
        await wait_until(lambda: a.port.snapshots == [(B, True)])
        assert shown(a)["snapshot_send_success"] == {("b",): 1}
        assert shown(b)["snapshot_receive_success"] == {("a",): 1}
        b.port.fails_with = OSError("disk full")
        a.transport.send([SNAPSHOT])
        await wait_until(lambda: a.port.snapshots[1:] == [(B, False)])
        assert shown(a)["snapshot_send_failures"] == {("b",): 1}
        assert shown(b)["snapshot_receive_failures"] == {("a",): 1}
        a.transport.remove_peer(B)
        assert shown(a)["known_peers"] == {("a", "a"): 1}


async def test_what_went_by_a_stream_counts_when_another_has_taken_its_place() -> None:
    async with Side(A) as a, Side(B) as b:
        a.knows(b)
        b.knows(a)
        await until_active(a, b)
        told = []
        for number in range(1, 4):
            a.transport.send([Message(MessageType.VOTE, B, A, number, context=b"x" * 1000)])
            await wait_until(lambda number=number: len(b.port.messages) == number)
            told.append(shown(a)["peer_sent_bytes_total"][("b",)])
            b.transport.remove_peer(A)
            await wait_until(lambda: not a.transport.peer(B)._writers)
            b.knows(a)
            await until_active(a, b)
        assert told[0] > 1000
        assert all(later > earlier + 1000 for earlier, later in pairwise(told))


async def test_the_log_tells_in_stocks_words_who_comes_and_goes_and_why_one_is_not_reached() -> (
    None
):
    dead, other = "http://127.0.0.1:1", "http://127.0.0.1:2"
    async with Side(A) as a:
        a.transport.add_peer(B, [dead])
        await wait_until(lambda: told_of(a, f"{dead}: connection refused"))
        a.transport.update_peer(B, [other])
        a.transport.remove_peer(B)
        known = f"'remote_peer_id': 'b', 'remote_peer_urls': ['{dead}']"
        assert told_of(a, f"added remote peer {{'local_member_id': 'a', {known}}}")
        assert told_of(a, "updated remote peer")
        assert told_of(a, f"'updated_remote_peer_id': 'b', 'updated_remote_peer_urls': ['{other}']")
        assert told_of(a, "removed remote peer")
        assert told_of(a, "'removed_remote_peer_id': 'b'")
