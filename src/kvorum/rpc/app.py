"""The whole client port as one ASGI application: gRPC by content type, plain HTTP otherwise."""

from __future__ import annotations

from kvorum.rpc.grpc import GRPC_OVERHEAD_BYTES, GrpcApp, Receive, Scope, Send
from kvorum.rpc.http import HttpApp
from kvorum.rpc.services import cluster, kv, lease, maintenance, watch
from kvorum.server.log import Logger
from kvorum.server.ports import InfoPort, KeyValuePort, LeasePort, WatchPort


class ServerPort(KeyValuePort, LeasePort, WatchPort, InfoPort):
    """Everything that the client port asks of a member."""


class ClientApp:
    """Routes a request to gRPC or to the plain endpoints.

    Args:
        server: the member.
        max_request_bytes: `--max-request-bytes`.
        log: where failures of the server itself are told.
    """

    def __init__(self, server: ServerPort, *, max_request_bytes: int, log: Logger) -> None:
        self._grpc = GrpcApp(
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
        self._http = HttpApp(server)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        for key, value in scope["headers"]:
            if key == b"content-type":
                if value.startswith(b"application/grpc"):
                    await self._grpc(scope, receive, send)
                    return
                break
        await self._http(scope, receive, send)
