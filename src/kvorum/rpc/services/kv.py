"""etcdserverpb.KV."""

from __future__ import annotations

from typing import Final

from kvorum.proto.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from kvorum.proto.versions import Version
from kvorum.rpc.grpc import StreamMethods, UnaryMethods
from kvorum.rpc.services import range_stream
from kvorum.server.log import Logger
from kvorum.server.ports import KeyValuePort, Response

RANGE_STREAM_SINCE: Final = Version(3, 7)


def streams(server: KeyValuePort, log: Logger, version: Version) -> StreamMethods:
    """The service's streaming methods by path."""
    if version < RANGE_STREAM_SINCE:
        return {}
    return {
        range_stream.PATH: (
            RangeRequest,
            lambda call: range_stream.stream_range(server, call, log),
        ),
    }


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
