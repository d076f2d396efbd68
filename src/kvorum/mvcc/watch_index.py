"""Who wants to hear of a key: watchers in groups, groups by key and by interval.

Place: `watch` asks `matching(key)` for every event; `watch_stream` joins and leaves groups.

Watchers that want the same events in the same form (same key, same end, same flags) are one
group. What they are sent differs in the watch id alone, so filters, prev_kv and the concatenation
of frames are done once for a group.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, final

from kvorum.mvcc.watch_intervals import IntervalMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvorum.mvcc.events import Event
    from kvorum.mvcc.watch_stream import Watcher

ONE_KEY: Final = b""
"""As `end`: the key alone."""
TO_LAST_KEY: Final = b"\0"
"""As `end`: every key from the first one on."""

NO_PUT: Final = 1
NO_DELETE: Final = 2
PREV_KV: Final = 4
FRAGMENT: Final = 8


@final
class WatchGroup:
    """Watchers with the same interest.

    `synced` holds those that have seen everything up to now and get events as they happen; the
    others are members as well, and are counted in `count`.
    """

    __slots__ = ("count", "end", "flags", "key", "last_revision", "synced")

    def __init__(self, key: bytes, end: bytes, flags: int) -> None:
        self.key = key
        self.end = end
        self.flags = flags
        self.count = 0
        self.synced: dict[Watcher, None] = {}
        self.last_revision = 0  # of the last event that went to the synced watchers

    def wants(self, event: Event) -> bool:
        """Whether the filters let the event through. Says nothing about its key."""
        return not self.flags & (NO_DELETE if event.is_delete else NO_PUT)


@final
class WatchIndex:
    """All groups of a member. Cost of `matching`: O(log groups + matches)."""

    __slots__ = ("_by_key", "_intervals", "_tail_groups", "_tail_starts", "groups")

    def __init__(self) -> None:
        self.groups: dict[tuple[bytes, bytes, int], WatchGroup] = {}
        self._by_key: dict[bytes, tuple[WatchGroup, ...]] = {}
        self._intervals: IntervalMap[WatchGroup] = IntervalMap()
        # Groups whose interval has no upper end, ordered by its start.
        self._tail_starts: list[bytes] = []
        self._tail_groups: list[WatchGroup] = []

    def join(self, key: bytes, end: bytes, flags: int) -> WatchGroup:
        """The group with this interest, with one more member; made if there is none."""
        identity = (key, end, flags)
        group = self.groups.get(identity)
        if group is None:
            group = self.groups[identity] = WatchGroup(key, end, flags)
            self._insert(group)
        group.count += 1
        return group

    def leave(self, group: WatchGroup) -> None:
        """One member less; the last one takes the group with it."""
        group.count -= 1
        assert group.count >= len(group.synced), (group.count, len(group.synced))
        if group.count == 0:
            del self.groups[group.key, group.end, group.flags]
            self._remove(group)

    def matching(self, key: bytes) -> Sequence[WatchGroup]:
        """The groups whose key or interval holds `key`, each once, in no set order."""
        found = self._by_key.get(key, ())
        if not self._intervals and not self._tail_starts:
            return found
        groups = list(found)
        self._intervals.stab(key, groups)
        if self._tail_starts:
            groups += self._tail_groups[: bisect_right(self._tail_starts, key)]
        return groups

    def _insert(self, group: WatchGroup) -> None:
        key, end = group.key, group.end
        if end == ONE_KEY:
            self._by_key[key] = (*self._by_key.get(key, ()), group)
        elif end == TO_LAST_KEY:
            place = bisect_right(self._tail_starts, key)
            self._tail_starts.insert(place, key)
            self._tail_groups.insert(place, group)
        else:
            self._intervals.add(key, end, group)

    def _remove(self, group: WatchGroup) -> None:
        key, end = group.key, group.end
        if end == ONE_KEY:
            rest = tuple(other for other in self._by_key[key] if other is not group)
            if rest:
                self._by_key[key] = rest
            else:
                del self._by_key[key]
        elif end == TO_LAST_KEY:
            place = self._tail_groups.index(group, bisect_left(self._tail_starts, key))
            del self._tail_starts[place]
            del self._tail_groups[place]
        else:
            self._intervals.remove(key, end, group)
