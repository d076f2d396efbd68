"""etcdserverpb.KV."""

from __future__ import annotations

from collections.abc import Mapping

from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from kvorum.rpc.grpc import Metadata, UnaryMethod
from kvorum.server.ports import KeyValuePort, Response


def methods(server: KeyValuePort) -> Mapping[str, UnaryMethod]:
    """The service's methods by path."""
    parse_put = PutRequest.FromString
    parse_range = RangeRequest.FromString

    def put(message: bytes, _: Metadata) -> Response:
        return server.put(parse_put(message), message)

    def range_(message: bytes, _: Metadata) -> Response:
        return server.range(parse_range(message))

    def delete_range(message: bytes, _: Metadata) -> Response:
        return server.delete_range(DeleteRangeRequest.FromString(message), message)

    def txn(message: bytes, _: Metadata) -> Response:
        return server.txn(TxnRequest.FromString(message), message)

    def compact(message: bytes, _: Metadata) -> Response:
        return server.compact(CompactionRequest.FromString(message), message)

    return {
        "/etcdserverpb.KV/Range": range_,
        "/etcdserverpb.KV/Put": put,
        "/etcdserverpb.KV/DeleteRange": delete_range,
        "/etcdserverpb.KV/Txn": txn,
        "/etcdserverpb.KV/Compact": compact,
    }
