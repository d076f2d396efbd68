"""Whom this member is connected to, and since when: what it knows of the others' health.

Source: etcd server (cluster_util, isConnected…Since); shared facts, peer.md section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from kvorum.cluster.member import Member
from kvorum.server.clock import monotonic_s

HEALTHY_S: Final = 5.0
"""How long a member must have been connected to count as healthy. Source: etcd (HealthInterval)."""


class Connectivity:
    """Judges connections.

    Args:
        own_id: this member, which is always reachable.
        active_since: since when a member has been connected, by the monotonic clock; None: it is
            not.
    """

    def __init__(self, own_id: int, active_since: Callable[[int], float | None]) -> None:
        self._own_id = own_id
        self._active_since = active_since

    def is_reachable(self, member_id: int) -> bool:
        """Whether the member is connected now."""
        return member_id == self._own_id or self._active_since(member_id) is not None

    def since(self, member_id: int, limit_s: float) -> bool:
        """Whether the member has been connected since `limit_s` (monotonic) without a break."""
        if member_id == self._own_id:
            return True
        since_s = self._active_since(member_id)
        return since_s is not None and since_s <= limit_s

    def count_since(self, members: Iterable[Member], limit_s: float) -> int:
        """How many of them have been connected since `limit_s`."""
        return sum(self.since(member.id, limit_s) for member in members)

    def has_quorum_since(self, voters: list[Member], limit_s: float) -> bool:
        """Whether a majority of the voters has been connected since `limit_s`."""
        return self.count_since(voters, limit_s) >= len(voters) // 2 + 1

    def healthy(self, members: Iterable[Member]) -> int:
        """How many of them have been connected for a while."""
        return self.count_since(members, monotonic_s() - HEALTHY_S)

    def longest(self, members: Iterable[Member]) -> Member | None:
        """The one of the others that has been connected longest; None: none is connected."""
        since = {
            member.id: (since_s, member)
            for member in members
            if member.id != self._own_id and (since_s := self._active_since(member.id)) is not None
        }
        if not since:
            return None
        return min(since.values(), key=lambda pair: pair[0])[1]
