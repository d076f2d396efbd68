"""The services of the client port, put together."""

from __future__ import annotations

from kvorum.rpc.grpc import GRPC_OVERHEAD_BYTES, GrpcApp
from kvorum.rpc.services import cluster, kv, lease, maintenance, watch
from kvorum.server.log import Logger
from kvorum.server.ports import InfoPort, KeyValuePort, LeasePort, WatchPort


class ServerPort(KeyValuePort, LeasePort, WatchPort, InfoPort):
    """Everything that the client port asks of a member."""


def client_services(server: ServerPort, *, max_request_bytes: int, log: Logger) -> GrpcApp:
    """Every gRPC method that is served.

    Args:
        server: the member.
        max_request_bytes: `--max-request-bytes`.
        log: where failures of the server itself are told.
    """
    return GrpcApp(
        {
            **kv.methods(server),
            **lease.methods(server),  # type: ignore[arg-type]
            **cluster.methods(server),
            **maintenance.methods(server),
        },
        {**watch.streams(server), **lease.streams(server)},  # type: ignore[arg-type]
        has_leader=server.has_leader,
        size_max=max_request_bytes + GRPC_OVERHEAD_BYTES,
        log=log,
    )
