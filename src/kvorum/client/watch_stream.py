"""Many watches over one stream, which is opened again when it breaks.

One task reads the stream, one writes it. Creations are answered in the order in which they were
sent; so `_pending`, in that order, tells whose watch a "created" response is about. (The ids would
do too, but a refusal comes with id -1, and members before 3.4 choose ids themselves.)

A watcher is in exactly one of these places:

    _pending   its creation was sent, or stands in the outbox
    _running   the member watches for it, by id
    _paused    its owner is slow; it is made again when the owner has caught up (see WatchLimits)
    nowhere    it is over
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from kvorum.client.errors import ClientClosedError, TransportError
from kvorum.client.methods import WATCH
from kvorum.client.options import WatchLimits
from kvorum.client.stream import Stream
from kvorum.client.token import REQUIRE_LEADER
from kvorum.client.transport import Transport
from kvorum.client.watcher import Watcher
from kvorum.errors import (
    Code,
    InvalidAuthTokenError,
    NoLeaderError,
    StatusError,
    UnavailableError,
    WatchCanceledError,
    WireError,
)
from kvorum.proto.rpc_pb2 import (
    WatchCancelRequest,
    WatchCreateRequest,
    WatchProgressRequest,
    WatchRequest,
    WatchResponse,
)

PROGRESS_FOR_ALL = -1
"""As watch id of a response: it answers a progress request, for every watch of the stream."""


class WatchStream:
    """The watches of one client that want the same of the member. See the module's docstring."""

    def __init__(self, transport: Transport, limits: WatchLimits, *, require_leader: bool) -> None:
        self._transport = transport
        self._limits = limits
        self._require_leader = require_leader
        self._pending: deque[Watcher] = deque()
        self._running: dict[int, Watcher] = {}
        self._paused: set[Watcher] = set()
        self._outbox: deque[WatchRequest] = deque()
        self._outgoing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._well = True
        """No failure since a watch began, or none at all."""
        self._last_id = 0

    # For Client and Watcher

    def watch(self, request: WatchCreateRequest) -> Watcher:
        """Begin a watch."""
        watcher = Watcher(self, request)
        self._create(watcher)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="kvorum-watch")
        return watcher

    def forget(self, watcher: Watcher) -> None:
        """Its owner cancelled `watcher`. One that is pending is cancelled when it begins."""
        self._paused.discard(watcher)
        self._stop_running(watcher)

    def drained(self, watcher: Watcher) -> None:
        """The owner of `watcher` has read everything there was."""
        if watcher in self._paused:
            self._paused.remove(watcher)
            self._create(watcher)

    def request_progress(self) -> None:
        request = WatchRequest(progress_request=WatchProgressRequest())
        if not self._outbox or self._outbox[-1] != request:
            self._send(request)

    async def close(self) -> None:
        """End the stream; every watcher ends with ClientClosedError."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._fail_all(ClientClosedError())

    # Connections, one after the other

    async def _run(self) -> None:
        backoff = self._transport.backoff()
        while self._needed:
            delay_s = 0.0
            try:
                await self._connect_and_serve()
            except WireError as error:
                if not self._may_resume(error):
                    self._fail_all(error)
                    return
                if self._well:
                    backoff.reset()
                self._well = False
                delay_s = backoff.next_delay_s()
            self._recreate_all()
            await asyncio.sleep(delay_s)

    async def _connect_and_serve(self) -> None:
        metadata = REQUIRE_LEADER if self._require_leader else ()
        stream = await self._transport.open_stream(WATCH, metadata)
        try:
            await self._serve(stream)
        except WireError as error:
            self._transport.stream_failed(stream.endpoint, error)
            raise

    @property
    def _needed(self) -> bool:
        return bool(self._pending or self._running or self._paused)

    def _may_resume(self, error: WireError) -> bool:
        if isinstance(error, NoLeaderError) and self._require_leader:
            return False
        if isinstance(error, InvalidAuthTokenError):
            return (
                self._well
            )  # a token may grow old; one that is refused at once will not get better
        if isinstance(error, StatusError):
            return error.status is Code.INTERNAL
        return isinstance(error, (UnavailableError, WatchCanceledError))

    def _recreate_all(self) -> None:
        """The stream is gone: every watch that was on it has to be made again."""
        watchers = [w for w in (*self._running.values(), *self._pending) if not w.over]
        self._running.clear()
        self._pending.clear()
        self._outbox.clear()
        for watcher in watchers:
            self._create(watcher)

    def _fail_all(self, error: WireError) -> None:
        watchers = [*self._pending, *self._running.values(), *self._paused]
        self._pending.clear()
        self._running.clear()
        self._paused.clear()
        self._outbox.clear()
        for watcher in watchers:
            watcher.failed(error)

    # One connection

    async def _serve(self, stream: Stream[WatchRequest, WatchResponse]) -> None:
        """Read and write `stream` until no watch needs it any more."""
        writer = asyncio.create_task(self._write(stream), name="kvorum-watch-writer")
        try:
            while self._needed:
                self._dispatch(await stream.receive())
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, TransportError):
                await writer
            stream.cancel()

    async def _write(self, stream: Stream[WatchRequest, WatchResponse]) -> None:
        while True:
            while self._outbox:
                await stream.send(self._outbox.popleft())
            self._outgoing.clear()
            await self._outgoing.wait()

    def _dispatch(self, response: WatchResponse) -> None:
        if response.created:
            self._began(self._pending.popleft(), response)
        elif response.watch_id == PROGRESS_FOR_ALL and not response.canceled:
            for watcher in self._running.values():
                if watcher.backlog[0] < self._limits.responses_max:
                    watcher.progressed(response)
        elif response.canceled:
            ended = self._running.pop(response.watch_id, None)
            if ended is not None:
                ended.ended(response)
        else:
            running = self._running.get(response.watch_id)
            if running is not None:
                running.received(response)
                self._pause_if_slow(running)

    def _began(self, watcher: Watcher, response: WatchResponse) -> None:
        self._well = True
        if response.canceled:
            watcher.ended(response)
            return
        watcher.watch_id = response.watch_id
        self._running[response.watch_id] = watcher
        watcher.begun(response)
        if watcher.over:
            self._stop_running(watcher)

    def _pause_if_slow(self, watcher: Watcher) -> None:
        responses_count, size_bytes = watcher.backlog
        full = responses_count >= self._limits.responses_max
        if full or size_bytes >= self._limits.events_size_bytes_max:
            self._stop_running(watcher)
            self._paused.add(watcher)

    def _stop_running(self, watcher: Watcher) -> None:
        if self._running.get(watcher.watch_id) is watcher:
            del self._running[watcher.watch_id]
            cancel = WatchCancelRequest(watch_id=watcher.watch_id)
            self._send(WatchRequest(cancel_request=cancel))

    def _create(self, watcher: Watcher) -> None:
        self._last_id += 1
        self._pending.append(watcher)
        self._send(WatchRequest(create_request=watcher.create_request(self._last_id)))

    def _send(self, request: WatchRequest) -> None:
        self._outbox.append(request)
        self._outgoing.set()
