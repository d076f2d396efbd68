"""The services of the client port, put together."""

from __future__ import annotations

from typing import Protocol

from kvorum.proto.versions import DEFAULT_SERVER_VERSION, Version
from kvorum.rpc.grpc import GrpcApp
from kvorum.rpc.learners import LearnerGuard
from kvorum.rpc.metrics.calls import CallFigures
from kvorum.rpc.services import auth, cluster, election, health, kv, lease, lock, maintenance, watch
from kvorum.rpc.tracing import Tracer
from kvorum.server.concurrency.session import Sessions
from kvorum.server.log import Logger
from kvorum.server.ports import (
    ClusterPort,
    InfoPort,
    KeyValuePort,
    LeaderPort,
    LeasePort,
    MaintenancePort,
    ServingPort,
    SnapshotPort,
    WatchPort,
)


class ServerPort(
    KeyValuePort,
    LeasePort,
    WatchPort,
    SnapshotPort,
    InfoPort,
    ClusterPort,
    LeaderPort,
    MaintenancePort,
    ServingPort,
    Protocol,
):
    """Everything that the client port asks of a member."""


def client_services(
    server: ServerPort,
    *,
    message_bytes_max: int,
    log: Logger,
    figures: CallFigures | None = None,
    version: Version = DEFAULT_SERVER_VERSION,
    tracer: Tracer | None = None,
) -> GrpcApp:
    """Every gRPC method that is served.

    Args:
        server: the member.
        message_bytes_max: the longest message that is taken.
        log: where failures of the server itself are told.
        figures: counts the calls.
        version: presented; decides which methods there are.
        tracer: told of each call.
    """
    sessions = Sessions(server)
    app = GrpcApp(
        {
            **kv.methods(server),
            **lease.methods(server),
            **cluster.methods(server),
            **maintenance.methods(server),
            **auth.methods(),
            **health.methods(server),
            **lock.methods(server, sessions),
            **election.methods(server, sessions),
        },
        {
            **kv.streams(server, log, version),
            **watch.streams(server),
            **lease.streams(server),
            **maintenance.streams(server, log),
            **election.streams(server, log),
            **health.streams(server),
        },
        has_leader=server.has_leader,
        size_max=message_bytes_max,
        log=log,
        figures=figures,
        tracer=tracer,
        guard=LearnerGuard(server.is_learner, version),
    )
    app.on_finish.append(sessions.stop)
    return app
