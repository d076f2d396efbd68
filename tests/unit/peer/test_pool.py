"""Questions to other members, and the connections they are asked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11
import pytest

from kvorum.cluster.urls import check_urls
from kvorum.peer.http import PeerHttpError
from kvorum.peer.options import PeerOptions
from kvorum.peer.pool import IDLE_MAX
from kvorum.peer.requests import PeerRequests
from kvorum.proto.lease_pb2 import LeaseInternalResponse
from kvorum.proto.rpc_pb2 import LeaseKeepAliveResponse, LeaseTimeToLiveResponse
from kvorum.proto.versions import Version
from tests.unit.peer.sides import answer_head, fake_peer

DEADLINE_S = 20.0
TTL_S = 60
OPTIONS = PeerOptions(member_id=1, cluster_id=2, version=Version(3, 6, 0), peer_urls=())


@dataclass(slots=True)
class Leader:
    """Answers whatever it is asked, and counts."""

    url: str = ""
    connections: int = 0
    questions: int = 0
    lasts: int = 10**9
    """Answers on one connection; then it is closed, without a word before."""
    together: int = 1
    """Answers come when so many have been asked."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        machine = h11.Connection(h11.SERVER)
        try:
            for _ in range(self.lasts):
                path = await self._question(machine, reader)
                if path is None:
                    return
                self.questions += 1
                if self.questions >= self.together:
                    self.asked.set()
                await self.asked.wait()
                body = _answer(path)
                head = h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))])
                events = (head, h11.Data(data=body), h11.EndOfMessage())
                writer.write(b"".join(machine.send(event) or b"" for event in events))
                await writer.drain()
                machine.start_next_cycle()
        finally:
            writer.close()

    @staticmethod
    async def _question(machine: h11.Connection, reader: asyncio.StreamReader) -> bytes | None:
        path = None
        while True:
            event = machine.next_event()
            if event is h11.NEED_DATA:
                machine.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                path = event.target
            elif isinstance(event, h11.EndOfMessage):
                return path
            elif isinstance(event, h11.ConnectionClosed):
                return None


def _answer(path: bytes) -> bytes:
    if path == b"/leases":
        return LeaseKeepAliveResponse(ID=1, TTL=TTL_S).SerializeToString()
    life = LeaseTimeToLiveResponse(ID=1, TTL=TTL_S, grantedTTL=TTL_S)
    return LeaseInternalResponse(LeaseTimeToLiveResponse=life).SerializeToString()


@asynccontextmanager
async def asking(**limits: int) -> AsyncIterator[tuple[Leader, PeerRequests]]:
    leader = Leader(**limits)  # type: ignore[arg-type]
    server = await asyncio.start_server(leader.serve, "127.0.0.1", 0)
    leader.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    requests = PeerRequests(OPTIONS, timeout_s=DEADLINE_S)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield leader, requests
    finally:
        requests.close()
        server.close()
        await server.wait_closed()


async def test_questions_about_leases_share_a_connection() -> None:
    async with asking() as (leader, requests):
        for _ in range(20):
            assert await requests.lease_renew([leader.url], 1) == TTL_S
            life = await requests.lease_time_to_live([leader.url], 1, with_keys=False)
            assert life.granted_s == TTL_S
        assert (leader.questions, leader.connections) == (40, 1)


async def test_questions_at_the_same_time_have_connections_of_their_own() -> None:
    count = IDLE_MAX + 8
    async with asking(together=count) as (leader, requests):
        renewals = [requests.lease_renew([leader.url], 1) for _ in range(count)]
        assert await asyncio.gather(*renewals) == [TTL_S] * count
        assert leader.connections == count
        for _ in range(5):
            await requests.lease_renew([leader.url], 1)
        assert leader.connections == count


async def test_a_connection_that_the_leader_has_closed_is_made_anew() -> None:
    async with asking(lasts=1) as (leader, requests):
        for _ in range(10):
            assert await requests.lease_renew([leader.url], 1) == TTL_S
        assert (leader.questions, leader.connections) == (10, 10)


async def test_what_is_asked_after_the_end_is_answered_and_not_kept() -> None:
    async with asking() as (leader, requests):
        requests.close()
        for _ in range(3):
            assert await requests.lease_renew([leader.url], 1) == TTL_S
        assert leader.connections == 3


@pytest.mark.parametrize(
    "url", ["http://[abc]:2380", "http://a\u2100b:80", "http://h:99999999999", "http://[]:1"]
)
async def test_a_url_that_cannot_be_reached_is_told_as_such(url: str) -> None:
    """`member add` takes these, as stock does: they must not break what asks all members."""
    assert check_urls([url]) == (url,)
    async with asking() as (leader, requests):
        with pytest.raises(PeerHttpError, match="http"):
            await requests.versions([url])
        assert await requests.lease_renew([url, leader.url], 1) == TTL_S


async def test_an_answer_that_never_ends_is_given_up() -> None:
    async def drips(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_head("200 OK", ["Content-Length: 1000000"]))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with fake_peer(drips) as url:
        questions = PeerRequests(OPTIONS, timeout_s=0.1)
        with pytest.raises(PeerHttpError, match="takes too long"):
            await asyncio.wait_for(questions.versions([url]), DEADLINE_S)
        questions.close()
