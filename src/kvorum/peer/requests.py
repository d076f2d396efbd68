"""What this member asks others besides raft; each question goes to one URL after the other.

Source: shared facts, peer.md sections 1 and 11.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.peer.http import Answer, HeaderList, PeerHttpError
from kvorum.peer.options import PeerOptions
from kvorum.peer.pool import ConnectionPool
from kvorum.peer.posting import connection_to
from kvorum.proto.lease_pb2 import LeaseInternalRequest, LeaseInternalResponse
from kvorum.proto.rpc_pb2 import (
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseTimeToLiveRequest,
)
from kvorum.server.peer_ports import PeerRefusedError
from kvorum.server.ports import LeaseLife

QUESTION_TIMEOUTS: Final = 5
"""A question may take so many timeouts in all, each of which is for one thing that is waited for:
somebody who sends a byte now and then must not hold up a start."""


class PeerRequests:
    """Questions to other members; see `PeerQueriesPort`.

    Every method raises `PeerHttpError` when no URL could be reached, and `PeerRefusedError` when
    the member refused.
    """

    def __init__(self, options: PeerOptions, *, timeout_s: float) -> None:
        self._options = options
        self._timeout_s = timeout_s
        self._pool = ConnectionPool(options, io_timeout_s=timeout_s)

    def close(self) -> None:
        """Let go of what is kept between questions."""
        self._pool.close()

    async def members(self, urls: Sequence[str]) -> tuple[int, list[dict[str, Any]]]:
        """The cluster's id, and its members as JSON tells them (`id`, `peerURLs`, …)."""
        answer = await self._ask(urls, "GET", "/members")
        try:
            cluster_id = int(answer.headers["x-etcd-cluster-id"], 16)
            members = json.loads(answer.body)
        except (KeyError, ValueError):
            raise PeerHttpError("the answer of /members cannot be read") from None
        if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
            raise PeerHttpError("the answer of /members is no list of members")
        return cluster_id, members

    async def versions(self, urls: Sequence[str]) -> dict[str, str]:
        """Its `/version`: `etcdserver` and `etcdcluster`."""
        value = _object((await self._ask(urls, "GET", "/version")).body)
        return {name: text for name, text in value.items() if isinstance(text, str)}

    async def downgrade_enabled(self, urls: Sequence[str]) -> bool:
        """Whether its cluster is being downgraded; members before 3.5 do not know of that."""
        try:
            answer = await self._ask(urls, "GET", "/downgrade/enabled")
        except PeerRefusedError as error:
            if error.status == 404:
                return False
            raise
        return answer.body.strip() == b"true"

    async def promote(self, urls: Sequence[str], member_id: int) -> None:
        await self._ask(urls, "POST", f"/members/promote/{member_id}")

    async def hash_kv(self, urls: Sequence[str], revision: int) -> dict[str, Any]:
        """`hash`, `compact_revision`, `hash_revision` and `header`; what is zero is left out."""
        body = json.dumps({"revision": revision}).encode()
        return _object((await self._ask(urls, "GET", "/members/hashkv", body)).body)

    async def lease_renew(self, urls: Sequence[str], lease_id: int) -> int:
        """Renew a lease at the leader. Returns the TTL in seconds."""
        body = LeaseKeepAliveRequest(ID=lease_id).SerializeToString()
        answer = await self._ask(urls, "POST", "/leases", body, often=True)
        try:
            return LeaseKeepAliveResponse.FromString(answer.body).TTL
        except ProtobufDecodeError as error:
            raise PeerHttpError(f"the answer of /leases cannot be read: {error}") from None

    async def lease_time_to_live(
        self, urls: Sequence[str], lease_id: int, *, with_keys: bool
    ) -> LeaseLife:
        request = LeaseInternalRequest(
            LeaseTimeToLiveRequest=LeaseTimeToLiveRequest(ID=lease_id, keys=with_keys)
        )
        body = request.SerializeToString()
        answer = await self._ask(urls, "POST", "/leases/internal", body, often=True)
        try:
            found = LeaseInternalResponse.FromString(answer.body).LeaseTimeToLiveResponse
        except ProtobufDecodeError as error:
            raise PeerHttpError(f"the answer of /leases/internal cannot be read: {error}") from None
        return LeaseLife(found.grantedTTL, found.TTL, tuple(found.keys))

    async def _ask(
        self,
        urls: Sequence[str],
        method: str,
        path: str,
        body: bytes = b"",
        *,
        often: bool = False,
    ) -> Answer:
        """Ask at one URL after the other. `often`: on a connection that is kept."""
        problem = PeerHttpError("the member has no peer URLs")
        headers = [
            ("X-Etcd-Cluster-ID", f"{self._options.cluster_id:x}"),
            ("Content-Type", "application/protobuf"),
        ]
        ask = self._pool.request if often else self._ask_once
        for url in urls:
            try:
                async with asyncio.timeout(QUESTION_TIMEOUTS * self._timeout_s):
                    answer = await ask(url, method, path, headers, body)
            except TimeoutError:
                problem = PeerHttpError(f"{url}: the answer takes too long")
                continue
            except PeerHttpError as error:
                problem = error
                continue
            if answer.status == 200:
                return answer
            raise PeerRefusedError(answer.status, answer.text)
        raise problem

    async def _ask_once(
        self, url: str, method: str, path: str, headers: HeaderList, body: bytes
    ) -> Answer:
        connection = connection_to(url, self._options, io_timeout_s=self._timeout_s)
        try:
            return await connection.request(method, path, headers, body)
        finally:
            connection.close()


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise PeerHttpError("the answer is no JSON object")
    return value
