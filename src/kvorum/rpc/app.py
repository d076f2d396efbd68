"""The services of the client port, put together."""

from __future__ import annotations

from typing import Protocol

from kvorum.rpc.grpc import GrpcApp
from kvorum.rpc.services import auth, cluster, kv, lease, maintenance, watch
from kvorum.server.log import Logger
from kvorum.server.ports import InfoPort, KeyValuePort, LeasePort, WatchPort


class ServerPort(KeyValuePort, LeasePort, WatchPort, InfoPort, Protocol):
    """Everything that the client port asks of a member."""


def client_services(server: ServerPort, *, message_bytes_max: int, log: Logger) -> GrpcApp:
    """Every gRPC method that is served.

    Args:
        server: the member.
        message_bytes_max: the longest message that is taken.
        log: where failures of the server itself are told.
    """
    return GrpcApp(
        {
            **kv.methods(server),
            **lease.methods(server),
            **cluster.methods(server),
            **maintenance.methods(server),
            **auth.methods(),
        },
        {**watch.streams(server), **lease.streams(server)},
        has_leader=server.has_leader,
        size_max=message_bytes_max,
        log=log,
    )
