"""The keys below one prefix in the order of their creation, and who waits for the turn of which.

    turn = queues.wait(prefix, key, create_revision)
    is_first = await turn

However many wait, there is one watch, and an event costs what it changes, not what there is: where
stock asks the store for the next older key, with a walk over all of them, the order is kept here.

The watch shows a key later than it was put, so its owner may come here first. `_seen` is the
revision up to which everything was shown; what was created after it is still to be shown, whatever
has become of it meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, final

from kvorum.errors import WireError
from kvorum.proto.kv_pb2 import Event
from kvorum.proto.rpc_pb2 import RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse
from kvorum.server.concurrency.port import ConcurrencyPort, local_range, prefix_end

if TYPE_CHECKING:
    from kvorum.server.ports import WatchHandle

Turn = asyncio.Future[bool]
"""True: no older key is left. False: the key itself is gone. Cancel it to give up."""


@final
class Queues:
    """The queues of a member, each for as long as somebody waits in it."""

    def __init__(self, server: ConcurrencyPort) -> None:
        self._server = server
        self._by_prefix: dict[bytes, Queue] = {}
        self._ended: WireError | None = None

    def end(self, error: WireError) -> None:
        """Let everybody who waits, or comes to wait, fail with `error`."""
        self._ended = error
        for queue in self._by_prefix.values():
            queue.fail(error)

    def wait(self, prefix: bytes, key: bytes, created: int) -> Turn:
        """Wait for the turn of a key that was put here at revision `created`.

        Raises:
            WireError: the keys cannot be read, or waiting has been ended.
        """
        if self._ended is not None:
            raise self._ended
        queue = self._by_prefix.get(prefix)
        if queue is None:
            queue = Queue(self._server, prefix)
            self._by_prefix[prefix] = queue
        turn = queue.wait(key, created)
        turn.add_done_callback(partial(self._left, prefix, queue, key))
        return turn

    def __len__(self) -> int:
        return len(self._by_prefix)

    def _left(self, prefix: bytes, queue: Queue, key: bytes, turn: Turn) -> None:
        queue.leave(key, turn)
        if queue.is_empty and self._by_prefix.get(prefix) is queue:
            del self._by_prefix[prefix]
            queue.close()


@final
class Queue:
    """See the module. A sink of its own watch."""

    def __init__(self, server: ConcurrencyPort, prefix: bytes) -> None:
        self._server = server
        self._prefix = prefix
        self._loop = asyncio.get_running_loop()
        self._created: OrderedDict[bytes, int] = OrderedDict()
        """Create revision of every key there is, oldest first."""
        self._turns: dict[bytes, dict[Turn, int]] = {}
        """Who waits, by key, and the create revision that they know."""
        self._seen = 0
        self._stream: WatchHandle | None = None
        self._read()

    @property
    def is_empty(self) -> bool:
        return not self._turns

    def wait(self, key: bytes, created: int) -> Turn:
        turn: Turn = self._loop.create_future()
        if created <= self._seen and self._created.get(key) != created:
            turn.set_result(False)
            return turn
        self._turns.setdefault(key, {})[turn] = created
        self._settle()
        if self._stream is None and not turn.done():
            self._watch()
        return turn

    def leave(self, key: bytes, turn: Turn) -> None:
        turns = self._turns.get(key)
        if turns is not None:
            turns.pop(turn, None)
            if not turns:
                del self._turns[key]

    def fail(self, error: WireError) -> None:
        """End every wait with `error`."""
        for turns in self._turns.values():
            for turn in turns:
                if not turn.done():
                    turn.set_exception(error)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def send(self, message: bytes) -> bool:
        """Hear from the watch."""
        response = WatchResponse.FromString(message)
        if response.canceled:
            # Compaction has overtaken the watch. Not at once: a sink must not call back.
            self._loop.call_soon(self._begin_again)
            return True
        for event in response.events:
            kv = event.kv
            self._seen = max(self._seen, kv.mod_revision)
            if event.type == Event.DELETE:
                self._created.pop(kv.key, None)
                self._lose(kv.key, kv.mod_revision)
            elif kv.create_revision == kv.mod_revision:
                self._created[kv.key] = kv.create_revision
        self._settle()
        return True

    def _read(self) -> None:
        response = local_range(
            self._server,
            key=self._prefix,
            range_end=prefix_end(self._prefix),
            keys_only=True,
            sort_target=RangeRequest.CREATE,
            sort_order=RangeRequest.ASCEND,
        )
        self._created = OrderedDict((kv.key, kv.create_revision) for kv in response.kvs)
        self._seen = response.header.revision

    def _watch(self) -> None:
        self._stream = self._server.new_watch_stream(self)
        create = WatchCreateRequest(
            key=self._prefix, range_end=prefix_end(self._prefix), start_revision=self._seen + 1
        )
        self._stream.handle(WatchRequest(create_request=create))

    def _begin_again(self) -> None:
        if self._stream is None:
            return  # closed meanwhile
        self.close()
        try:
            self._read()
        except WireError as error:
            self.fail(error)
            return
        for key, turns in self._turns.items():
            there = self._created.get(key)
            for turn, created in turns.items():
                if created <= self._seen and created != there:
                    _resolve(turn, False)
        self._settle()
        self._watch()

    def _settle(self) -> None:
        """Tell who is first."""
        oldest = 0
        for key, created in self._created.items():
            if oldest and created != oldest:  # one transaction may have created several
                break
            oldest = created
            for turn, known in self._turns.get(key, {}).items():
                if known == created:
                    _resolve(turn, True)

    def _lose(self, key: bytes, revision: int) -> None:
        for turn, created in self._turns.get(key, {}).items():
            if created < revision:
                _resolve(turn, False)


def _resolve(turn: Turn, value: bool) -> None:
    if not turn.done():
        turn.set_result(value)
