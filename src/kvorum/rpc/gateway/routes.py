"""Which path stands for which method, by the version that the member presents.

Source: shared facts, client.md section 12; paths checked against stock 3.4.23 and 3.5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from google.protobuf import message_factory

# Imported for what they put into the pool.
from kvorum.proto import election_pb2, lock_pb2, rpc_pb2  # noqa: F401
from kvorum.proto.pool import POOL
from kvorum.proto.versions import Version

_FIRST: Final = Version(3, 0)


class _Row(NamedTuple):
    service: str
    method: str
    path: str
    since: Version = _FIRST


_KV, _WATCH, _LEASE = "etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease"
_CLUSTER, _MAINTENANCE = "etcdserverpb.Cluster", "etcdserverpb.Maintenance"
_AUTH, _LOCK, _ELECTION = "etcdserverpb.Auth", "v3lockpb.Lock", "v3electionpb.Election"
_V3_3, _V3_4, _V3_5 = Version(3, 3), Version(3, 4), Version(3, 5)
_HASH_KV_PATH: Final = Version(3, 5, 10)
"""Before, HashKV stood at the path of Hash, which hid it."""

_ROWS: Final = (
    _Row(_KV, "Range", "/kv/range"),
    _Row(_KV, "Put", "/kv/put"),
    _Row(_KV, "DeleteRange", "/kv/deleterange"),
    _Row(_KV, "Txn", "/kv/txn"),
    _Row(_KV, "Compact", "/kv/compaction"),
    _Row(_WATCH, "Watch", "/watch"),
    _Row(_LEASE, "LeaseGrant", "/lease/grant"),
    _Row(_LEASE, "LeaseKeepAlive", "/lease/keepalive"),
    _Row(_LEASE, "LeaseRevoke", "/kv/lease/revoke"),
    _Row(_LEASE, "LeaseRevoke", "/lease/revoke", _V3_4),
    _Row(_LEASE, "LeaseTimeToLive", "/kv/lease/timetolive"),
    _Row(_LEASE, "LeaseTimeToLive", "/lease/timetolive", _V3_4),
    _Row(_LEASE, "LeaseLeases", "/kv/lease/leases", _V3_3),
    _Row(_LEASE, "LeaseLeases", "/lease/leases", _V3_4),
    _Row(_CLUSTER, "MemberAdd", "/cluster/member/add"),
    _Row(_CLUSTER, "MemberRemove", "/cluster/member/remove"),
    _Row(_CLUSTER, "MemberUpdate", "/cluster/member/update"),
    _Row(_CLUSTER, "MemberList", "/cluster/member/list"),
    _Row(_CLUSTER, "MemberPromote", "/cluster/member/promote", _V3_4),
    _Row(_MAINTENANCE, "Alarm", "/maintenance/alarm"),
    _Row(_MAINTENANCE, "Status", "/maintenance/status"),
    _Row(_MAINTENANCE, "Defragment", "/maintenance/defragment"),
    _Row(_MAINTENANCE, "Hash", "/maintenance/hash"),
    _Row(_MAINTENANCE, "HashKV", "/maintenance/hashkv", _HASH_KV_PATH),
    _Row(_MAINTENANCE, "Snapshot", "/maintenance/snapshot"),
    _Row(_MAINTENANCE, "MoveLeader", "/maintenance/transfer-leadership", _V3_3),
    _Row(_MAINTENANCE, "Downgrade", "/maintenance/downgrade", _V3_5),
    _Row(_AUTH, "AuthEnable", "/auth/enable"),
    _Row(_AUTH, "AuthDisable", "/auth/disable"),
    _Row(_AUTH, "AuthStatus", "/auth/status", _V3_5),
    _Row(_AUTH, "Authenticate", "/auth/authenticate"),
    _Row(_AUTH, "UserAdd", "/auth/user/add"),
    _Row(_AUTH, "UserGet", "/auth/user/get"),
    _Row(_AUTH, "UserList", "/auth/user/list"),
    _Row(_AUTH, "UserDelete", "/auth/user/delete"),
    _Row(_AUTH, "UserChangePassword", "/auth/user/changepw"),
    _Row(_AUTH, "UserGrantRole", "/auth/user/grant"),
    _Row(_AUTH, "UserRevokeRole", "/auth/user/revoke"),
    _Row(_AUTH, "RoleAdd", "/auth/role/add"),
    _Row(_AUTH, "RoleGet", "/auth/role/get"),
    _Row(_AUTH, "RoleList", "/auth/role/list"),
    _Row(_AUTH, "RoleDelete", "/auth/role/delete"),
    _Row(_AUTH, "RoleGrantPermission", "/auth/role/grant"),
    _Row(_AUTH, "RoleRevokePermission", "/auth/role/revoke"),
    _Row(_LOCK, "Lock", "/lock/lock"),
    _Row(_LOCK, "Unlock", "/lock/unlock"),
    _Row(_ELECTION, "Campaign", "/election/campaign"),
    _Row(_ELECTION, "Proclaim", "/election/proclaim"),
    _Row(_ELECTION, "Leader", "/election/leader"),
    _Row(_ELECTION, "Observe", "/election/observe"),
    _Row(_ELECTION, "Resign", "/election/resign"),
)


@dataclass(frozen=True, slots=True)
class Route:
    """A method of the gateway."""

    grpc_path: str
    request: Any
    """Class of the client's messages."""
    response: Any
    client_streams: bool
    server_streams: bool


def routes(version: Version) -> dict[str, Route]:
    """The methods by what follows the prefix (`/kv/put`)."""
    return {row.path: _route(row) for row in _ROWS if row.since <= version}


def prefixes(version: Version) -> tuple[str, ...]:
    """What paths of the gateway begin with; the first one is the version's own."""
    if version < _V3_3:
        return ("/v3alpha",)
    if version < _V3_4:
        return ("/v3beta", "/v3alpha")
    return ("/v3", "/v3beta")


def _route(row: _Row) -> Route:
    method = POOL.FindServiceByName(row.service).methods_by_name[row.method]
    return Route(
        grpc_path=f"/{row.service}/{row.method}",
        request=message_factory.GetMessageClass(method.input_type),
        response=message_factory.GetMessageClass(method.output_type),
        client_streams=method.client_streaming,
        server_streams=method.server_streaming,
    )
