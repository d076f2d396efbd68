"""A small book of leases, as a store needs one: the real ones are the lease package's."""

from __future__ import annotations


class LeaseBook:
    def __init__(self, *lease_ids: int) -> None:
        self.keys: dict[int, set[bytes]] = {lease_id: set() for lease_id in lease_ids}

    def exists(self, lease_id: int) -> bool:
        return lease_id in self.keys

    def attach(self, lease_id: int, key: bytes) -> None:
        assert key not in self.keys[lease_id]
        self.keys[lease_id].add(key)

    def detach(self, lease_id: int, key: bytes) -> None:
        self.keys[lease_id].remove(key)
