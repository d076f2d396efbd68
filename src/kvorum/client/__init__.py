"""A client of etcd: asyncio, over gRPC, for Kvorum's members and for stock etcd's.

    from kvorum.client import Client

    async with Client(["127.0.0.1:2379"]) as client:
        await client.kv.put(b"greeting", b"hello")

Requests and responses are the protobuf messages of `kvorum.proto.rpc_pb2`. Errors are those of
`kvorum.errors`, and for what happens between client and member those of `kvorum.client.errors`.
Importing this does not import grpc; the first call does.
"""

from kvorum.client.client import Client
from kvorum.client.election import Election
from kvorum.client.endpoint import Endpoint, parse_endpoint
from kvorum.client.errors import (
    ClientClosedError,
    ConnectDeadlineError,
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineExceededError,
    TransportError,
    describe,
    describe_status,
)
from kvorum.client.keepalive import KeepAlive
from kvorum.client.mirror import Mirror
from kvorum.client.mutex import Mutex
from kvorum.client.options import ClientOptions, WatchLimits
from kvorum.client.ranges import EVERYTHING_AFTER, from_key_range, prefix_end, prefix_range
from kvorum.client.session import Session
from kvorum.client.snapshot import SnapshotPart
from kvorum.client.tls import TlsOptions
from kvorum.client.transport import Failure
from kvorum.client.txn import (
    Txn,
    compare_create,
    compare_lease,
    compare_mod,
    compare_value,
    compare_version,
    op_delete,
    op_get,
    op_put,
)
from kvorum.client.watcher import Watcher

__all__ = [
    "EVERYTHING_AFTER",
    "Client",
    "ClientClosedError",
    "ClientOptions",
    "ConnectDeadlineError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "Election",
    "Endpoint",
    "Failure",
    "KeepAlive",
    "Mirror",
    "Mutex",
    "Session",
    "SnapshotPart",
    "TlsOptions",
    "TransportError",
    "Txn",
    "WatchLimits",
    "Watcher",
    "compare_create",
    "compare_lease",
    "compare_mod",
    "compare_value",
    "compare_version",
    "describe",
    "describe_status",
    "from_key_range",
    "op_delete",
    "op_get",
    "op_put",
    "parse_endpoint",
    "prefix_end",
    "prefix_range",
]
