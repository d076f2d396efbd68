"""The members of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.client.call import DEFAULT, Service, Timeout
from kvorum.client.methods import (
    MEMBER_ADD,
    MEMBER_LIST,
    MEMBER_PROMOTE,
    MEMBER_REMOVE,
    MEMBER_UPDATE,
)
from kvorum.proto.rpc_pb2 import (
    MemberAddRequest,
    MemberAddResponse,
    MemberListRequest,
    MemberListResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
)


class Cluster(Service):
    """The membership calls. Each response of a change holds the members after it."""

    __slots__ = ()

    async def member_list(
        self, *, linearizable: bool = True, timeout_s: Timeout = DEFAULT
    ) -> MemberListResponse:
        """The members; with `linearizable` as the majority knows them, else as this member does."""
        request = MemberListRequest(linearizable=linearizable)
        return await self._call(MEMBER_LIST, request, timeout_s)

    async def sync(self, *, timeout_s: Timeout = DEFAULT) -> tuple[str, ...]:
        """Make the client URLs of all members the client's endpoints, and return them.

        Learners, and members that were never started, are left out. When no member tells of a URL
        nothing changes. Source: etcd client/v3, Client.Sync.
        """
        response = await self.member_list(timeout_s=timeout_s)
        urls = [
            url
            for member in response.members
            if member.name and not member.isLearner
            for url in member.clientURLs
        ]
        if urls:
            self._transport.use_endpoints(urls)
        return tuple(endpoint.text for endpoint in self._transport.ring.endpoints)

    async def member_add(
        self, peer_urls: Sequence[str], *, learner: bool = False, timeout_s: Timeout = DEFAULT
    ) -> MemberAddResponse:
        """Add a member, which is started afterwards; as a learner it does not vote yet.

        Raises:
            MemberBadUrlsError, PeerUrlExistsError, TooManyLearnersError
            MemberNotEnoughStartedError, UnhealthyClusterError: the quorum might be lost with it.
        """
        request = MemberAddRequest(peerURLs=peer_urls, isLearner=learner)
        return await self._call(MEMBER_ADD, request, timeout_s)

    async def member_remove(
        self, member_id: int, *, timeout_s: Timeout = DEFAULT
    ) -> MemberRemoveResponse:
        """Remove a member for good; its process stops.

        Raises:
            MemberNotFoundError
            MemberNotEnoughStartedError, UnhealthyClusterError: the quorum might be lost without it.
        """
        request = MemberRemoveRequest(ID=member_id)
        return await self._call(MEMBER_REMOVE, request, timeout_s)

    async def member_update(
        self, member_id: int, peer_urls: Sequence[str], *, timeout_s: Timeout = DEFAULT
    ) -> MemberUpdateResponse:
        """Tell the cluster that a member is reached by other peer URLs.

        Raises:
            MemberNotFoundError, MemberBadUrlsError, PeerUrlExistsError
        """
        request = MemberUpdateRequest(ID=member_id, peerURLs=peer_urls)
        return await self._call(MEMBER_UPDATE, request, timeout_s)

    async def member_promote(
        self, member_id: int, *, timeout_s: Timeout = DEFAULT
    ) -> MemberPromoteResponse:
        """Make a learner a voter.

        Raises:
            MemberNotFoundError, MemberNotLearnerError
            LearnerNotReadyError: it is too far behind the leader.
        """
        request = MemberPromoteRequest(ID=member_id)
        return await self._call(MEMBER_PROMOTE, request, timeout_s)
