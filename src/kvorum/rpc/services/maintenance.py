"""etcdserverpb.Maintenance: what a member tells of itself."""

from __future__ import annotations

from collections.abc import Mapping

from kvorum.proto.rpc_pb2 import HashKVRequest, HashKVResponse, StatusRequest, StatusResponse
from kvorum.rpc.grpc import Metadata, UnaryMethod
from kvorum.server.ports import InfoPort


def methods(server: InfoPort) -> Mapping[str, UnaryMethod]:
    """The service's methods by path."""

    def status(message: bytes, _: Metadata) -> bytes:
        StatusRequest.FromString(message)
        return server.header() + StatusResponse(**server.status()).SerializeToString()

    async def hash_kv(message: bytes, _: Metadata) -> bytes:
        revision = HashKVRequest.FromString(message).revision
        value, compact_revision, hashed = await server.hash_kv(revision)
        response = HashKVResponse(
            hash=value, compact_revision=compact_revision, hash_revision=hashed
        )
        return server.header() + response.SerializeToString()

    return {
        "/etcdserverpb.Maintenance/Status": status,
        "/etcdserverpb.Maintenance/HashKV": hash_kv,
    }
