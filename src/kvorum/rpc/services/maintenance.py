"""etcdserverpb.Maintenance: what a member tells of itself."""

from __future__ import annotations

from kvorum.proto.rpc_pb2 import (
    AlarmRequest,
    HashKVRequest,
    HashKVResponse,
    StatusRequest,
    StatusResponse,
)
from kvorum.rpc.grpc import UnaryMethods
from kvorum.server.ports import InfoPort, Response


def methods(server: InfoPort) -> UnaryMethods:
    """The service's methods by path."""

    def status(_: StatusRequest, __: bytes) -> bytes:
        return server.header() + StatusResponse(**server.status()).SerializeToString()

    async def hash_kv(request: HashKVRequest, _: bytes) -> bytes:
        value, compact_revision, hashed = await server.hash_kv(request.revision)
        response = HashKVResponse(
            hash=value, compact_revision=compact_revision, hash_revision=hashed
        )
        return server.header() + response.SerializeToString()

    def alarm(request: AlarmRequest, raw: bytes) -> Response:
        return server.alarm(request, raw)

    return {
        "/etcdserverpb.Maintenance/Alarm": (AlarmRequest, alarm),
        "/etcdserverpb.Maintenance/Status": (StatusRequest, status),
        "/etcdserverpb.Maintenance/HashKV": (HashKVRequest, hash_kv),
    }
