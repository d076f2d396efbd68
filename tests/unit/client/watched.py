"""A member with watches that a test directs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio

from kvorum.client.methods import WATCH
from kvorum.errors import NoLeaderError
from kvorum.proto.kv_pb2 import Event, KeyValue
from kvorum.proto.rpc_pb2 import (
    ResponseHeader,
    WatchCreateRequest,
    WatchRequest,
    WatchResponse,
)
from tests.unit.client.fakes import FakeMember, fail


class WatchedMember(FakeMember):
    """Begins every watch, and sends what the test puts into `outgoing` of the newest stream."""

    def __init__(self) -> None:
        super().__init__()
        self.streams[WATCH.path] = self.watch
        self.requests: list[WatchRequest] = []
        self.outgoing: asyncio.Queue[WatchResponse | Exception] = asyncio.Queue()
        self.refusal: WatchResponse | None = None
        self.open_count = 0
        self.revision = 1

    @property
    def created(self) -> list[WatchCreateRequest]:
        return [r.create_request for r in self.requests if r.HasField("create_request")]

    async def watch(
        self,
        requests: AsyncIterator[WatchRequest],
        context: grpc.aio.ServicerContext[WatchRequest, WatchResponse],
    ) -> AsyncIterator[WatchResponse]:
        self.outgoing = asyncio.Queue()
        reader = asyncio.create_task(self._read(requests, self.outgoing))
        self.open_count += 1
        try:
            while True:
                response = await self.outgoing.get()
                if isinstance(response, NoLeaderError):
                    await fail(context, response)
                assert isinstance(response, WatchResponse)
                yield response
        finally:
            reader.cancel()
            self.open_count -= 1

    async def _read(
        self,
        requests: AsyncIterator[WatchRequest],
        outgoing: asyncio.Queue[WatchResponse | Exception],
    ) -> None:
        async for request in requests:
            self.requests.append(request)
            answer = self._answer(request)
            if answer is not None:
                outgoing.put_nowait(answer)

    def _answer(self, request: WatchRequest) -> WatchResponse | None:
        header = ResponseHeader(revision=self.revision)
        match request.WhichOneof("request_union"):
            case "create_request":
                if self.refusal is not None:
                    return self.refusal
                watch_id = request.create_request.watch_id
                return WatchResponse(header=header, created=True, watch_id=watch_id)
            case "cancel_request":
                watch_id = request.cancel_request.watch_id
                return WatchResponse(header=header, canceled=True, watch_id=watch_id)
        return WatchResponse(header=header, watch_id=-1)

    def send(
        self, watch_id: int, *revisions: int, fragment: bool = False, value: bytes = b""
    ) -> None:
        """Send events of these revisions."""
        self.revision = max(self.revision, *revisions)
        events = [
            Event(kv=KeyValue(key=b"k", mod_revision=revision, value=value))
            for revision in revisions
        ]
        header = ResponseHeader(revision=self.revision)
        self.outgoing.put_nowait(
            WatchResponse(header=header, watch_id=watch_id, events=events, fragment=fragment)
        )


def revisions(response: WatchResponse) -> list[int]:
    return [event.kv.mod_revision for event in response.events]
