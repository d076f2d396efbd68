"""v3electionpb.Election."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from kvorum.errors import Code, StatusError, WireError
from kvorum.proto.election_pb2 import (
    CampaignRequest,
    LeaderRequest,
    ProclaimRequest,
    ResignRequest,
)
from kvorum.rpc.frames import frame
from kvorum.rpc.grpc import Call, StreamMethods, UnaryMethods
from kvorum.rpc.services.unknown import as_unknown, with_unknown_code
from kvorum.server.concurrency.election import Elections
from kvorum.server.concurrency.observing import observe
from kvorum.server.concurrency.port import ConcurrencyPort
from kvorum.server.concurrency.session import Sessions
from kvorum.server.log import Logger


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


class Observing:
    """One Observe call. While the client does not read, nothing more is looked at."""

    __slots__ = ("_call", "_log", "_server", "_task", "_writable")

    def __init__(self, server: ConcurrencyPort, call: Call, log: Logger) -> None:
        self._server = server
        self._call = call
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        call.on_writable(self._writable.set)

    def message(self, request: LeaderRequest) -> None:
        if self._task is not None:
            raise StatusError(Code.INTERNAL, "a second request in a call that takes one")
        self._task = asyncio.ensure_future(self._run(request.name))

    def half_closed(self) -> None:
        if self._task is None:
            self._call.finish(StatusError(Code.UNKNOWN, "EOF"))

    def closed(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, name: bytes) -> None:
        try:
            async with aclosing(observe(self._server, name)) as responses:
                async for response in responses:
                    self._writable.clear()
                    if not self._call.send(frame(response)):
                        await self._writable.wait()
        except WireError as error:
            self._call.finish(as_unknown(error))
        except Exception as error:
            self._log.error("failed to observe an election", error=error)
            self._call.finish(StatusError(Code.INTERNAL, "internal error; see the member's log"))


def streams(server: ConcurrencyPort, log: Logger) -> StreamMethods:
    """The service's streaming methods by path."""
    return {
        "/v3electionpb.Election/Observe": (
            LeaderRequest,
            lambda call: Observing(server, call, log),
        )
    }
