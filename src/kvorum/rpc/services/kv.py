"""etcdserverpb.KV."""

from __future__ import annotations

from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from kvorum.rpc.grpc import UnaryMethods
from kvorum.server.ports import KeyValuePort, Response


def methods(server: KeyValuePort) -> UnaryMethods:
    """The service's methods by path."""

    def range_(request: RangeRequest, _: bytes) -> Response:
        return server.range(request)

    return {
        "/etcdserverpb.KV/Range": (RangeRequest, range_),
        "/etcdserverpb.KV/Put": (PutRequest, server.put),
        "/etcdserverpb.KV/DeleteRange": (DeleteRangeRequest, server.delete_range),
        "/etcdserverpb.KV/Txn": (TxnRequest, server.txn),
        "/etcdserverpb.KV/Compact": (CompactionRequest, server.compact),
    }
