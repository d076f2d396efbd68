"""The calls of etcd's API that this client makes, by hand: path, request and response class.

There are no generated stubs: they would bring the message classes into the default descriptor pool,
and they cannot be retried or moved to another endpoint by one piece of code.

Source: shared facts, client.md section 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from kvorum.proto import rpc_pb2 as rpc

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ResponseT]):
    """One call. `is_read`: it changes nothing, so it may be made again whatever happened to it."""

    path: str
    request: type[RequestT]
    response: type[ResponseT]
    is_read: bool = False


RANGE = Method("/etcdserverpb.KV/Range", rpc.RangeRequest, rpc.RangeResponse, is_read=True)
RANGE_STREAM = Method(
    "/etcdserverpb.KV/RangeStream", rpc.RangeRequest, rpc.RangeStreamResponse, is_read=True
)
PUT = Method("/etcdserverpb.KV/Put", rpc.PutRequest, rpc.PutResponse)
DELETE_RANGE = Method(
    "/etcdserverpb.KV/DeleteRange", rpc.DeleteRangeRequest, rpc.DeleteRangeResponse
)
TXN = Method("/etcdserverpb.KV/Txn", rpc.TxnRequest, rpc.TxnResponse)
TXN_READ = Method("/etcdserverpb.KV/Txn", rpc.TxnRequest, rpc.TxnResponse, is_read=True)
COMPACT = Method("/etcdserverpb.KV/Compact", rpc.CompactionRequest, rpc.CompactionResponse)

WATCH = Method("/etcdserverpb.Watch/Watch", rpc.WatchRequest, rpc.WatchResponse)

LEASE_GRANT = Method(
    "/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse
)
LEASE_REVOKE = Method(
    "/etcdserverpb.Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse
)
LEASE_KEEP_ALIVE = Method(
    "/etcdserverpb.Lease/LeaseKeepAlive", rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse
)
LEASE_TIME_TO_LIVE = Method(
    "/etcdserverpb.Lease/LeaseTimeToLive",
    rpc.LeaseTimeToLiveRequest,
    rpc.LeaseTimeToLiveResponse,
    is_read=True,
)
LEASE_LEASES = Method(
    "/etcdserverpb.Lease/LeaseLeases", rpc.LeaseLeasesRequest, rpc.LeaseLeasesResponse, is_read=True
)

MEMBER_LIST = Method(
    "/etcdserverpb.Cluster/MemberList", rpc.MemberListRequest, rpc.MemberListResponse, is_read=True
)
MEMBER_ADD = Method("/etcdserverpb.Cluster/MemberAdd", rpc.MemberAddRequest, rpc.MemberAddResponse)
MEMBER_REMOVE = Method(
    "/etcdserverpb.Cluster/MemberRemove", rpc.MemberRemoveRequest, rpc.MemberRemoveResponse
)
MEMBER_UPDATE = Method(
    "/etcdserverpb.Cluster/MemberUpdate", rpc.MemberUpdateRequest, rpc.MemberUpdateResponse
)
MEMBER_PROMOTE = Method(
    "/etcdserverpb.Cluster/MemberPromote", rpc.MemberPromoteRequest, rpc.MemberPromoteResponse
)

DEFRAGMENT = Method(
    "/etcdserverpb.Maintenance/Defragment", rpc.DefragmentRequest, rpc.DefragmentResponse
)
MOVE_LEADER = Method(
    "/etcdserverpb.Maintenance/MoveLeader", rpc.MoveLeaderRequest, rpc.MoveLeaderResponse
)
DOWNGRADE = Method(
    "/etcdserverpb.Maintenance/Downgrade", rpc.DowngradeRequest, rpc.DowngradeResponse
)
ALARM = Method("/etcdserverpb.Maintenance/Alarm", rpc.AlarmRequest, rpc.AlarmResponse)
ALARM_GET = Method(
    "/etcdserverpb.Maintenance/Alarm", rpc.AlarmRequest, rpc.AlarmResponse, is_read=True
)
STATUS = Method(
    "/etcdserverpb.Maintenance/Status", rpc.StatusRequest, rpc.StatusResponse, is_read=True
)
HASH_KV = Method(
    "/etcdserverpb.Maintenance/HashKV", rpc.HashKVRequest, rpc.HashKVResponse, is_read=True
)
SNAPSHOT = Method(
    "/etcdserverpb.Maintenance/Snapshot", rpc.SnapshotRequest, rpc.SnapshotResponse, is_read=True
)

AUTHENTICATE = Method(
    "/etcdserverpb.Auth/Authenticate",
    rpc.AuthenticateRequest,
    rpc.AuthenticateResponse,
    is_read=True,
)
