"""etcdserverpb.Maintenance: what a member tells of itself, and its whole database."""

from __future__ import annotations

from typing import Protocol

from kvorum.proto.rpc_pb2 import (
    AlarmRequest,
    DefragmentRequest,
    DowngradeRequest,
    DowngradeResponse,
    HashKVRequest,
    HashKVResponse,
    HashRequest,
    HashResponse,
    MoveLeaderRequest,
    SnapshotRequest,
    StatusRequest,
    StatusResponse,
)
from kvorum.rpc.grpc import StreamMethods, UnaryMethods
from kvorum.rpc.services.snapshot import stream_snapshot
from kvorum.server.log import Logger
from kvorum.server.ports import InfoPort, LeaderPort, MaintenancePort, Response, SnapshotPort


class MaintenanceServer(InfoPort, LeaderPort, MaintenancePort, Protocol):
    """All ports in one object."""


def methods(server: MaintenanceServer) -> UnaryMethods:
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

    async def move_leader(request: MoveLeaderRequest, _: bytes) -> bytes:
        await server.move_leader(request.targetID)
        return b""  # stock leaves the header out

    async def defragment(_: DefragmentRequest, __: bytes) -> bytes:
        await server.defragment()
        return b""  # as above

    async def hash_database(_: HashRequest, __: bytes) -> bytes:
        response = HashResponse(hash=await server.hash_database())
        return server.header() + response.SerializeToString()

    async def downgrade(request: DowngradeRequest, _: bytes) -> bytes:
        version = await server.downgrade(request)
        return server.header() + DowngradeResponse(version=version).SerializeToString()

    return {
        "/etcdserverpb.Maintenance/Alarm": (AlarmRequest, alarm),
        "/etcdserverpb.Maintenance/Defragment": (DefragmentRequest, defragment),
        "/etcdserverpb.Maintenance/Hash": (HashRequest, hash_database),
        "/etcdserverpb.Maintenance/Status": (StatusRequest, status),
        "/etcdserverpb.Maintenance/HashKV": (HashKVRequest, hash_kv),
        "/etcdserverpb.Maintenance/Downgrade": (DowngradeRequest, downgrade),
        "/etcdserverpb.Maintenance/MoveLeader": (MoveLeaderRequest, move_leader),
    }


def streams(server: SnapshotPort, log: Logger) -> StreamMethods:
    """The service's streaming methods by path."""
    return {
        "/etcdserverpb.Maintenance/Snapshot": (
            SnapshotRequest,
            lambda call: stream_snapshot(server, call, log),
        )
    }
