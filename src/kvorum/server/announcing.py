"""What a member says of itself and of the cluster through the log: its name and URLs, the version.

Members from 3.5 on have requests of their own for both; older ones know only writes of the
version-2 store, and stop at an entry that they do not know. So the older form is used until the
cluster is known to have left 3.4.

Source: shared facts, peer.md sections 7 and 12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from kvorum.cluster.ids import hex_id
from kvorum.cluster.member import Member
from kvorum.cluster.members import Cluster
from kvorum.cluster.versions import next_cluster_version
from kvorum.errors import ConfigError, WireError
from kvorum.proto.membership_pb2 import (
    Attributes,
    ClusterMemberAttrSetRequest,
    ClusterVersionSetRequest,
)
from kvorum.proto.versions import Version, parse_version
from kvorum.server import entries, v2requests
from kvorum.server.applier import Applier
from kvorum.server.log import Logger
from kvorum.server.options import ServerOptions
from kvorum.server.peer_ports import PeerError, PeerQueriesPort
from kvorum.server.proposals import Proposals

LOG_ATTRIBUTES_SINCE: Final = Version(3, 5)
"""From here on members publish themselves by requests of their own, not by the v2 store's."""

PUBLISH_RETRY_S: Final = 0.5
VERSION_INTERVAL_S: Final = 4.0
"""How often a leader asks the others for their versions. Source: etcd (monitorVersionInterval)."""


class Announcer:
    """See the module.

    Args:
        leads: whether this member leads.
        queries: asks other members; None: there are none.
    """

    def __init__(
        self,
        member_id: int,
        options: ServerOptions,
        cluster: Cluster,
        proposals: Proposals,
        applier: Applier,
        *,
        leads: Callable[[], bool],
        queries: PeerQueriesPort | None,
        log: Logger,
    ) -> None:
        self._member_id = member_id
        self._options = options
        self._cluster = cluster
        self._proposals = proposals
        self._applier = applier
        self._leads = leads
        self._queries = queries
        self._log = log
        self._agreeing: asyncio.Task[None] | None = None
        self._round: asyncio.TimerHandle | None = None

    # This member.

    async def publish(self, stopping: asyncio.Event) -> None:
        """Make this member's name and URLs known, however long that takes.

        Raises:
            WireError: the member stops.
        """
        options = self._options
        while True:
            try:
                await self._propose_attributes()
                break
            except WireError as error:
                if stopping.is_set():
                    raise
                self._log.warn("failed to publish local member to cluster", error=error)
                await asyncio.sleep(PUBLISH_RETRY_S)
        self._log.info(
            "published local member to cluster through raft",
            local_member_id=hex_id(self._member_id),
            local_member_attributes=f"{{Name:{options.name} ClientURLs:"
            f"[{' '.join(options.client_urls)}]}}",
            cluster_id=hex_id(self._cluster.id),
            publish_timeout=f"{options.request_timeout_s:g}s",
        )
        if self._agreeing is not None:
            # Else the first clients would be told that the version is not decided.
            await asyncio.wait((self._agreeing,))

    def _propose_attributes(self) -> asyncio.Future[bytes]:
        options = self._options
        if not self._knows_log_attributes():
            mine = v2requests.Attributes(self._member_id, options.name, options.client_urls)
            return self._propose_v2(v2requests.publish_attributes(self._proposals.next_id(), mine))
        attributes = Attributes(name=options.name, client_urls=options.client_urls)
        request = ClusterMemberAttrSetRequest(
            member_ID=self._member_id, member_attributes=attributes
        )
        return self._propose(entries.CLUSTER_MEMBER_ATTR_SET, request)

    def _knows_log_attributes(self) -> bool:
        """Whether every member understands the newer requests."""
        version = self._cluster.version
        if version is None:
            # Nobody has said anything yet. A member that is alone knows all there is to know.
            is_alone = len(self._cluster.members()) <= 1
            return is_alone and self._options.version >= LOG_ATTRIBUTES_SINCE
        return min(version, self._options.version) >= LOG_ATTRIBUTES_SINCE

    # The cluster's version.

    def start_agreeing(self) -> None:
        """See to the cluster's version, now and from now on: this member has become the leader."""
        if self._round is not None:
            self._round.cancel()
        self._round = asyncio.get_running_loop().call_later(VERSION_INTERVAL_S, self.start_agreeing)
        if self._leads() and (self._agreeing is None or self._agreeing.done()):
            self._agreeing = asyncio.ensure_future(self._agree())

    def stop(self) -> None:
        if self._round is not None:
            self._round.cancel()
        if self._agreeing is not None:
            self._agreeing.cancel()

    async def _agree(self) -> None:
        """Propose the version that all members can have, if it is another."""
        versions = await self.member_versions()
        current = self._cluster.version
        version = next_cluster_version(current, versions, self._cluster.downgrade_target)
        if version is None or not self._leads():
            return
        if current is None:
            self._log.info("setting up initial cluster version", cluster_version=version.short)
        else:
            self._log.info("updating cluster version", from_=current.short, to=version.short)
        try:
            await self._propose_version(version)
        except WireError as error:
            self._log.warn("failed to update cluster version", error=error)
        else:
            self._log.info("cluster version is updated", cluster_version=version.short)

    async def member_versions(self) -> list[Version | None]:
        """The server version of each member, by member id; None for one that does not say."""
        return await asyncio.gather(*map(self._version_of, self._cluster.members()))

    async def _version_of(self, member: Member) -> Version | None:
        if member.id == self._member_id:
            return self._options.version
        if self._queries is None:
            return None
        try:
            told = await self._queries.versions(member.peer_urls)
            version = parse_version(told.get("etcdserver", ""))
        except (PeerError, ConfigError) as error:
            self._log.warn("failed to get version", remote_member_id=hex_id(member.id), error=error)
            return None
        if version.cluster > self._options.version.cluster:
            ours = str(self._options.version)
            self._log.warn("the local etcd version is not up-to-date", local_member_version=ours)
            self._log.warn(
                "leader found higher-versioned member",
                local_member_version=ours,
                remote_member_id=hex_id(member.id),
                remote_member_version=str(version),
            )
        return version

    def _propose_version(self, version: Version) -> asyncio.Future[bytes]:
        is_alone = len(self._cluster.members()) <= 1
        lowest = version if is_alone else min(version, self._cluster.version or version)
        if min(lowest, self._options.version) < LOG_ATTRIBUTES_SINCE:
            data = v2requests.publish_version(self._proposals.next_id(), version)
            return self._propose_v2(data)
        return self._propose(
            entries.CLUSTER_VERSION_SET, ClusterVersionSetRequest(ver=str(version))
        )

    # Proposing.

    def _propose_v2(self, data: bytes) -> asyncio.Future[bytes]:
        request = entries.decode(data)
        return self._proposals.propose_data(data, self._applier.v2_request, request)

    def _propose(self, tag: bytes, request: Any) -> asyncio.Future[bytes]:
        method = self._applier.own_method(tag)
        return self._proposals.propose(tag, request.SerializeToString(), method, request)
