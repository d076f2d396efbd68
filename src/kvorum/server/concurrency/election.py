"""v3election: who created the oldest key below an election's name leads.

The key's value is for all to see, and the leader may change it.

Where stock lets a candidate win whose own key is gone by then (its lease ended while it waited), we
tell it that its lease does not exist, and at once: what it would have won is nothing.
"""

from __future__ import annotations

from kvorum.errors import (
    LeaderMissingError,
    LeaseNotFoundError,
    NoElectionLeaderError,
    NotElectionLeaderError,
    SessionExpiredError,
)
from kvorum.proto.election_pb2 import (
    CampaignRequest,
    LeaderKey,
    LeaderRequest,
    ProclaimRequest,
    ResignRequest,
)
from kvorum.proto.rpc_pb2 import (
    DeleteRangeRequest,
    PutRequest,
    RequestOp,
    TxnRequest,
    TxnResponse,
)
from kvorum.proto.wire import delimited
from kvorum.server.concurrency.port import (
    ConcurrencyPort,
    first_created,
    header_field,
    prefix_of,
    send_txn,
    settled,
)
from kvorum.server.concurrency.session import Entered, Sessions, created_at

LEADER_TAG = KV_TAG = b"\x12"


class Elections:
    """The service's unary methods. They return encoded responses and raise `WireError`s."""

    def __init__(self, server: ConcurrencyPort, sessions: Sessions) -> None:
        self._server = server
        self._sessions = sessions

    async def campaign(self, request: CampaignRequest) -> bytes:
        """Return when the caller leads. Cancelled, it leaves no key behind."""
        prefix = prefix_of(request.name)
        entered = await self._sessions.enter(prefix, request.lease, request.value)
        leader = LeaderKey(
            name=request.name, key=entered.key, rev=entered.created, lease=entered.lease
        )
        if entered.value != request.value:
            await self._change_value(entered, leader, request.value)
        try:
            await self._sessions.wait_first(prefix, entered)
        except SessionExpiredError:
            raise LeaseNotFoundError from None
        # Of the campaign's beginning, even after a wait, as stock's.
        header = header_field(entered.header)
        return header + delimited(LEADER_TAG, leader.SerializeToString())

    async def _change_value(self, entered: Entered, leader: LeaderKey, value: bytes) -> None:
        try:
            await self._proclaim(leader, value)
        except BaseException:
            self._sessions.take_back(entered)
            raise

    async def proclaim(self, request: ProclaimRequest) -> bytes:
        """Change the leader's value."""
        if not request.HasField("leader"):
            raise LeaderMissingError
        leader = LeaderKey()
        leader.CopyFrom(request.leader)
        own_lease = leader.lease == 0
        if own_lease:
            leader.lease = await self._sessions.grant()
        try:
            return await self._proclaim(leader, request.value)
        except BaseException:
            if own_lease:
                self._sessions.revoke(leader.lease)
            raise

    async def _proclaim(self, leader: LeaderKey, value: bytes) -> bytes:
        put = PutRequest(key=leader.key, value=value, lease=leader.lease)
        response = await self._if_leading(leader, RequestOp(request_put=put))
        if not response.succeeded:
            raise NotElectionLeaderError
        return header_field(response.header)

    async def leader(self, request: LeaderRequest) -> bytes:
        """The leader's key and value."""
        found = await first_created(self._server, prefix_of(request.name))
        if not found.kvs:
            raise NoElectionLeaderError
        return header_field(found.header) + delimited(KV_TAG, found.kvs[0].SerializeToString())

    async def resign(self, request: ResignRequest) -> bytes:
        """Give up leading, or waiting for it; not to have done so is no error."""
        if not request.HasField("leader"):
            raise LeaderMissingError
        delete = DeleteRangeRequest(key=request.leader.key)
        response = await self._if_leading(request.leader, RequestOp(request_delete_range=delete))
        return header_field(response.header)

    async def _if_leading(self, leader: LeaderKey, then: RequestOp) -> TxnResponse:
        request = TxnRequest(compare=[created_at(leader.key, leader.rev)], success=[then])
        return TxnResponse.FromString(await settled(send_txn(self._server, request)))
