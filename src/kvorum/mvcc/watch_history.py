"""A piece of history, read once and cut to what each watcher that is behind wants of it.

Place: one catch-up round of `watch` makes one `HistoryWindow` and serves all its watchers from it.
A watcher of one key finds its events by the key; a range watcher by bisection over the keys that
occur in the window. So 512 watchers times 1,000 revisions is not 512,000 comparisons, and watchers
of one group share the encoded responses.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple, final

from kvorum.errors import CompactedError
from kvorum.mvcc.watch_index import FRAGMENT, ONE_KEY, PREV_KV, TO_LAST_KEY
from kvorum.mvcc.watch_response import EventResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvorum.mvcc.events import Event
    from kvorum.mvcc.watch_index import WatchGroup
    from kvorum.mvcc.watch_ports import History, WatchLimits


class Part(NamedTuple):
    """A response of a group's history, and the last revision that it holds."""

    last_revision: int
    response: EventResponse


def frame_with_prev(history: History, event: Event) -> bytes:
    """The event's frame with what the key held before this revision.

    A put that made the key has no previous value even where the same transaction deleted an older
    one: stock decides by create_revision == mod_revision [checked on 3.5.1].
    """
    if event.create_revision == event.mod_revision:
        return event.frame()
    try:
        prev_kv = history.kv_at(event.key, event.mod_revision - 1)
    except CompactedError:
        prev_kv = None
    return event.frame_with_prev(prev_kv)


@final
class HistoryWindow:
    """Events of the revisions `first_revision` to `last_revision`, both included."""

    __slots__ = (
        "_by_key",
        "_events",
        "_frames_with_prev",
        "_header",
        "_history",
        "_keys",
        "_limits",
        "_parts",
        "first_revision",
        "last_revision",
    )

    def __init__(
        self,
        history: History,
        first_revision: int,
        header: bytes,
        limits: WatchLimits,
    ) -> None:
        self._history = history
        self._header = header
        self._limits = limits
        self.first_revision = first_revision
        self._events: list[Event] = []
        self.last_revision = self._read()
        self._by_key: dict[bytes, list[int]] = {}
        for position, event in enumerate(self._events):
            self._by_key.setdefault(event.key, []).append(position)
        self._keys: list[bytes] | None = None
        self._frames_with_prev: dict[int, bytes] = {}
        self._parts: dict[tuple[WatchGroup, int], list[Part]] = {}

    def _read(self) -> int:
        """Read the events. Returns the last revision that was read."""
        first, newest = self.first_revision, self._history.revision
        last = min(newest, first + self._limits.revisions_per_round_max - 1)
        assert first <= last, (first, last)
        size = 0
        for revision, events in self._history.events_between(first, last):
            self._events += events
            size += sum(len(event.kv) for event in events)
            if size >= self._limits.window_bytes_max:
                return revision
        return last

    def parts(self, group: WatchGroup, from_revision: int) -> list[Part]:
        """What a watcher of `group` is to be sent, whose next revision is `from_revision`."""
        assert self.first_revision <= from_revision <= self.last_revision
        identity = (group, from_revision)
        parts = self._parts.get(identity)
        if parts is None:
            parts = self._parts[identity] = self._cut(group, self._select(group, from_revision))
        return parts

    def _select(self, group: WatchGroup, from_revision: int) -> list[int]:
        """Positions of the events that the group wants, in the order of history."""
        events = self._events
        return [
            position
            for position in self._candidates(group)
            if events[position].mod_revision >= from_revision and group.wants(events[position])
        ]

    def _candidates(self, group: WatchGroup) -> Sequence[int]:
        key, end = group.key, group.end
        if end == ONE_KEY:
            return self._by_key.get(key, ())
        if self._keys is None:
            self._keys = sorted(self._by_key)
        keys = self._keys
        first = bisect_left(keys, key)
        last = len(keys) if end == TO_LAST_KEY else bisect_left(keys, end)
        if first == 0 and last == len(keys):
            return range(len(self._events))
        positions = [position for key in keys[first:last] for position in self._by_key[key]]
        positions.sort()
        return positions

    def _cut(self, group: WatchGroup, positions: list[int]) -> list[Part]:
        """The events as responses, cut between revisions."""
        frame_of = self._frame_with_prev if group.flags & PREV_KV else self._frame
        cut_at = self._limits.fragment_bytes_max if group.flags & FRAGMENT else None
        parts: list[Part] = []
        frames: list[bytes] = []
        size = revision = 0
        for position in positions:
            event_revision = self._events[position].mod_revision
            if size >= self._limits.response_bytes_max and event_revision != revision:
                parts.append(Part(revision, EventResponse(self._header, frames, cut_at)))
                frames, size = [], 0
            revision = event_revision
            frame = frame_of(position)
            frames.append(frame)
            size += len(frame)
        if frames:
            parts.append(Part(revision, EventResponse(self._header, frames, cut_at)))
        return parts

    def _frame(self, position: int) -> bytes:
        return self._events[position].frame()

    def _frame_with_prev(self, position: int) -> bytes:
        frame = self._frames_with_prev.get(position)
        if frame is None:
            frame = frame_with_prev(self._history, self._events[position])
            self._frames_with_prev[position] = frame
        return frame
