"""v3electionpb.Election."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from kvorum.errors import WireError
from kvorum.proto.election_pb2 import (
    CampaignRequest,
    LeaderRequest,
    ProclaimRequest,
    ResignRequest,
)
from kvorum.rpc.calls import Call, CallHandler
from kvorum.rpc.frames import frame
from kvorum.rpc.grpc import StreamMethods, UnaryMethods
from kvorum.rpc.services.streamed import StreamedAnswer
from kvorum.rpc.services.unknown import as_unknown, with_unknown_code
from kvorum.server.concurrency.election import Elections
from kvorum.server.concurrency.observing import observe
from kvorum.server.concurrency.port import ConcurrencyPort
from kvorum.server.concurrency.session import Sessions
from kvorum.server.log import Logger

UNSENT_BYTES_MAX: Final = 64 * 1024


def methods(server: ConcurrencyPort, sessions: Sessions) -> UnaryMethods:
    """The service's unary methods by path."""
    elections = Elections(server, sessions)
    return {
        "/v3electionpb.Election/Campaign": (
            CampaignRequest,
            with_unknown_code(elections.campaign),
        ),
        "/v3electionpb.Election/Proclaim": (
            ProclaimRequest,
            with_unknown_code(elections.proclaim),
        ),
        "/v3electionpb.Election/Leader": (LeaderRequest, with_unknown_code(elections.leader)),
        "/v3electionpb.Election/Resign": (ResignRequest, with_unknown_code(elections.resign)),
    }


def _observe(server: ConcurrencyPort, call: Call, log: Logger) -> CallHandler:
    """Serve one Observe call. While the client does not read, nothing more is looked at."""

    async def answer(request: LeaderRequest, to: StreamedAnswer) -> None:
        try:
            async with aclosing(observe(server, request.name)) as responses:
                async for response in responses:
                    await to.send(frame(response), UNSENT_BYTES_MAX)
        except WireError as error:
            raise as_unknown(error) from error

    return StreamedAnswer(call, answer, log)


def streams(server: ConcurrencyPort, log: Logger) -> StreamMethods:
    """The service's streaming methods by path."""
    return {
        "/v3electionpb.Election/Observe": (
            LeaderRequest,
            lambda call: _observe(server, call, log),
        )
    }
