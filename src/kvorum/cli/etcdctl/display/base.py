"""What a form of output can print; what it does not override it does not support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.proto.rpc_pb2 import (
    AlarmResponse,
    DeleteRangeResponse,
    DowngradeResponse,
    HashKVResponse,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    MemberAddResponse,
    MemberListResponse,
    MemberPromoteResponse,
    MemberRemoveResponse,
    MemberUpdateResponse,
    MoveLeaderResponse,
    PutResponse,
    RangeResponse,
    StatusResponse,
    TxnResponse,
    WatchResponse,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """Whether an endpoint answers. `took` is a duration as Go prints it."""

    endpoint: str
    healthy: bool
    took: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """The status of one endpoint."""

    endpoint: str
    response: StatusResponse


@dataclass(frozen=True, slots=True)
class EndpointHash:
    """The hash of one endpoint's keys."""

    endpoint: str
    response: HashKVResponse


class Display:
    """Prints results to standard output. Base of all forms."""

    name = ""

    def _unsupported(self) -> NoReturn:
        raise CommandError(Exit.BAD_FEATURE, f"{self.name} not supported as output format")

    def get(self, response: RangeResponse, *, value_only: bool = False) -> None:
        self._unsupported()

    def put(self, response: PutResponse) -> None:
        self._unsupported()

    def delete(self, response: DeleteRangeResponse) -> None:
        self._unsupported()

    def txn(self, response: TxnResponse) -> None:
        self._unsupported()

    def watch(self, response: WatchResponse, *, refused: bool = False) -> None:
        """Print a watch response; `refused`: it stands for a watch that never began."""
        self._unsupported()

    def grant(self, response: LeaseGrantResponse) -> None:
        self._unsupported()

    def revoke(self, lease_id: int, response: LeaseRevokeResponse) -> None:
        self._unsupported()

    def time_to_live(self, response: LeaseTimeToLiveResponse, *, with_keys: bool) -> None:
        self._unsupported()

    def keep_alive(self, response: LeaseKeepAliveResponse) -> None:
        self._unsupported()

    def leases(self, response: LeaseLeasesResponse) -> None:
        self._unsupported()

    def alarm(self, response: AlarmResponse) -> None:
        self._unsupported()

    def member_list(self, response: MemberListResponse) -> None:
        self._unsupported()

    def member_add(self, name: str, peer_urls: str, response: MemberAddResponse) -> None:
        """Print the addition of a member; `peer_urls` as they were given, with commas between."""
        self._unsupported()

    def member_remove(self, member_id: int, response: MemberRemoveResponse) -> None:
        self._unsupported()

    def member_update(self, member_id: int, response: MemberUpdateResponse) -> None:
        self._unsupported()

    def member_promote(self, member_id: int, response: MemberPromoteResponse) -> None:
        self._unsupported()

    def move_leader(self, old_id: int, new_id: int, response: MoveLeaderResponse) -> None:
        self._unsupported()

    def downgrade(self, action: str, response: DowngradeResponse) -> None:
        """Print what came of `etcdctl downgrade ACTION`."""
        self._unsupported()

    def endpoint_health(self, healths: Sequence[EndpointHealth]) -> None:
        self._unsupported()

    def endpoint_status(self, statuses: Sequence[EndpointStatus]) -> None:
        self._unsupported()

    def endpoint_hash_kv(self, hashes: Sequence[EndpointHash]) -> None:
        self._unsupported()
