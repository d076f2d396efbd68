"""One watch stream: its watchers, and the requests that make and end them.

Place: `rpc` makes a stream with `WatchHub.new_stream`, feeds it the client's requests with
`handle`, and gives it a sink for the responses. `watch` finds the watchers that an event concerns.

A watcher is always in one of four places (`Watcher.home`):

    group.synced      has seen everything; gets events as they happen
    hub.unsynced      behind; the next catch-up rounds read for it from history
    stream.stalled    behind, and the stream's sink is full; waits for `writable()`
    None              ended by compaction; the id stays taken until the client cancels (as in stock)

Source: shared facts, client.md section 7; ids and the order of checks as stock 3.5.1 answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from kvorum.errors import CompactedError, TooManyRequestsError
from kvorum.mvcc import watch_response as response
from kvorum.mvcc.watch_index import (
    FRAGMENT,
    NO_DELETE,
    NO_PUT,
    ONE_KEY,
    PREV_KV,
    TO_LAST_KEY,
)
from kvorum.proto.rpc_pb2 import WatchCreateRequest

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from kvorum.mvcc.watch import WatchHub
    from kvorum.mvcc.watch_index import WatchGroup
    from kvorum.mvcc.watch_ports import StreamSink
    from kvorum.proto.rpc_pb2 import WatchRequest

DUPLICATE_ID_REASON = "mvcc: duplicate watch ID provided on the WatchStream"
EMPTY_RANGE_REASON = "mvcc: watcher range is empty"

_FILTER_FLAGS = {WatchCreateRequest.NOPUT: NO_PUT, WatchCreateRequest.NODELETE: NO_DELETE}


@final
class Watcher:
    """One watch of a client. `min_revision`: the first revision it has not been sent yet."""

    __slots__ = ("group", "home", "id_part", "is_quiet", "min_revision", "stream", "watch_id")

    def __init__(
        self, stream: WatchStream, watch_id: int, group: WatchGroup, min_revision: int
    ) -> None:
        self.stream = stream
        self.watch_id = watch_id
        self.id_part = response.id_field(watch_id)
        self.group = group
        self.min_revision = min_revision
        self.home: MutableMapping[Watcher, None] | None = None
        self.is_quiet = True  # no event from history since the last progress notification

    def move(self, home: MutableMapping[Watcher, None] | None) -> None:
        if self.home is not None:
            del self.home[self]
        self.home = home
        if home is not None:
            home[self] = None


@final
class WatchStream:
    """The watchers of one gRPC stream. Made by `WatchHub.new_stream`."""

    __slots__ = (
        "_hub",
        "_next_id",
        "behind_count",
        "future",
        "is_blocked",
        "is_closed",
        "send",
        "stalled",
        "watchers",
    )

    def __init__(self, hub: WatchHub, sink: StreamSink) -> None:
        self._hub = hub
        self.send = sink.send
        self.watchers: dict[int, Watcher] = {}
        self.stalled: dict[Watcher, None] = {}
        self.future: dict[Watcher, None] = {}  # start revisions that had not been reached
        self.behind_count = 0  # watchers in hub.unsynced or stalled
        self.is_blocked = False
        self.is_closed = False
        self._next_id = 0

    def handle(self, request: WatchRequest) -> None:
        """Answer one request. A request with no known part is passed over, as stock does.

        Answers go to the sink even when it is above its bound; the owner reads no further requests
        of the client while it is.
        """
        if self.is_closed:
            return
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            self._create(request.create_request)
        elif kind == "cancel_request":
            self._cancel(request.cancel_request.watch_id)
        elif kind == "progress_request":
            self._hub.ask_progress(self)

    def writable(self) -> None:
        """The sink has room again: what was held back is sent by the next catch-up rounds."""
        self.is_blocked = False
        self._hub.resume(self)

    def close(self) -> None:
        """End all watchers, with no word to the client. Further calls of anything do nothing."""
        self.is_closed = True
        for watcher in self.watchers.values():
            self._hub.drop(watcher)
        self.watchers.clear()
        self._hub.forget(self)

    def reply(self, message: bytes) -> None:
        if not self.send(message):
            self.is_blocked = True

    def _refuse(self, reason: str) -> None:
        self.reply(response.refused(self._hub.header(), reason))

    def _create(self, request: WatchCreateRequest) -> None:
        if request.start_revision < 0 and self._hub.refuses_negative_start:
            return self._refuse(CompactedError.text)
        key, end = request.key or b"\0", request.range_end
        if end not in (ONE_KEY, TO_LAST_KEY) and key >= end:
            return self._refuse(EMPTY_RANGE_REASON)
        if len(self.watchers) >= self._hub.limits.watchers_per_stream_max:
            return self._refuse(TooManyRequestsError.text)
        watch_id = request.watch_id or self._free_id()
        if watch_id in self.watchers:
            return self._refuse(DUPLICATE_ID_REASON)
        group = self._hub.index.join(key, end, _flags(request))
        watcher = Watcher(self, watch_id, group, request.start_revision)
        self.watchers[watch_id] = watcher
        self.reply(response.created(self._hub.header(), watcher.id_part))
        return self._hub.admit(watcher, progress_notify=request.progress_notify)

    def _free_id(self) -> int:
        """The next id, counting up over those the client chose. Ids are not used again."""
        while self._next_id in self.watchers:
            self._next_id += 1
        watch_id = self._next_id
        self._next_id += 1
        return watch_id

    def _cancel(self, watch_id: int) -> None:
        watcher = self.watchers.pop(watch_id, None)
        if watcher is not None:
            self._hub.drop(watcher)
            self.reply(response.canceled(self._hub.header(), watcher.id_part))


def _flags(request: WatchCreateRequest) -> int:
    flags = 0
    for kind in request.filters:
        flags |= _FILTER_FLAGS.get(kind, 0)  # stock passes over a filter it does not know
    if request.prev_kv:
        flags |= PREV_KV
    if request.fragment:
        flags |= FRAGMENT
    return flags
