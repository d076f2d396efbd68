"""What other members may ask of a member besides raft: `PeerInfoPort`, on top of `member`.

Source: shared facts, peer.md section 1.
"""

from __future__ import annotations

from kvorum.errors import LeaseNotFoundError, NotLeaderError
from kvorum.server.api import MemberApi
from kvorum.server.member import EtcdServer
from kvorum.server.ports import LeaseLife


class PeerApi:
    """See the module."""

    def __init__(self, server: EtcdServer, api: MemberApi) -> None:
        self._server = server
        self._api = api
        self.members = api.members
        self.versions = api.versions
        self.promote = api.member_promote

    def downgrade_enabled(self) -> bool:
        """Whether the cluster is being taken to a lower version."""
        return self._server.cluster.downgrade_target is not None

    async def hash_kv_here(self, revision: int) -> tuple[int, int, int, int]:
        value, compact_revision, hashed = await self._api.hash_kv(revision)
        return self._server.store.revision, value, compact_revision, hashed

    async def lease_renew_here(self, lease_id: int) -> int:
        self._check_leads()
        await self._api.wait_linearizable()
        renewed = self._server.leases.renew(lease_id)
        return renewed if isinstance(renewed, int) else await renewed

    async def lease_time_to_live_here(self, lease_id: int, *, with_keys: bool) -> LeaseLife:
        self._check_leads()
        life = await self._api.lease_time_to_live(lease_id, with_keys=with_keys)
        if life.remaining_s < 0 and not life.granted_s:
            raise LeaseNotFoundError
        return life

    def _check_leads(self) -> None:
        if not self._server.is_leader:
            raise NotLeaderError
