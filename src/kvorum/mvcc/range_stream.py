"""A range in pieces (RangeStream of etcd 3.7): each of bounded size, all of one revision.

    for piece in RangePieces(store, request, bytes_target):
        ...  # between two pieces the store may change, and be compacted

Put one behind the other, the pieces are the RangeResponse that a range at that revision gives; the
last one alone has the header, `more` and the count. What is held at a time is one piece, however
many keys there are: it ends at `bytes_target`, or after `KEYS_MAX` keys, which keeps the pauses
short in which the member serves nobody else.

Source: etcd 3.7 (documentation of RangeStream, and what its server sends).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kvorum.errors import Code, StatusError
from kvorum.mvcc.checks import check_range
from kvorum.mvcc.keyvalue import key_of, without_value
from kvorum.mvcc.requests import SORT_ASCEND, SORT_BY_KEY, SORT_NONE, is_filtered, range_bound
from kvorum.mvcc.rules import V3_6, Rules
from kvorum.mvcc.store import Store
from kvorum.proto.rpc_pb2 import RangeRequest
from kvorum.proto.wire import delimited, varint

KEYS_FIRST: Final = 10
"""Of the first piece: what is small is there at once."""
KEYS_MAX: Final = 2048
"""Of any piece."""
ROWS_AT_A_TIME: Final = 16
"""Read from the database before the size is looked at."""

_KVS: Final = b"\x12"
_MORE: Final = b"\x18\x01"
_COUNT: Final = b"\x20"


def check_range_stream(request: RangeRequest, rules: Rules = V3_6) -> None:
    """Refuse what cannot be read in pieces; the texts are etcd's.

    Raises:
        EmptyKeyError, InvalidSortOptionError
        StatusError: Unimplemented: the keys would have to be sorted or filtered.
    """
    check_range(request, rules)
    by_key = request.sort_target == SORT_BY_KEY and request.sort_order == SORT_ASCEND
    if request.sort_order != SORT_NONE and not by_key:
        raise StatusError(Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders")
    if is_filtered(request):
        raise StatusError(Code.UNIMPLEMENTED, "RangeStream does not support revision filters")


class RangePieces:
    """The pieces of one range, as encoded RangeResponses; the last is to get a header.

    Attributes:
        newest: the newest revision when the reading began: that of the header.
        is_last: whether the piece that came last is the last one.
    """

    def __init__(self, store: Store, request: RangeRequest, bytes_target: int) -> None:
        """Begin at the revision asked for, else the newest.

        Raises:
            FutureRevisionError, CompactedError: there is no such revision (any more).
        """
        self._store = store
        self._bytes_target = bytes_target
        self._next: bytes = request.key
        self._end = range_bound(request.range_end)
        self._keys_only = request.keys_only
        self._count_only = request.count_only
        self._limit = max(request.limit, 0)
        self._keys_max = KEYS_FIRST
        self._sent = 0
        self.newest = store.revision
        self._revision = request.revision if request.revision > 0 else self.newest
        self.is_last = False
        store.check_readable(self._revision, self.newest)
        store.counters.ranges += 1

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next piece, without a header.

        Raises:
            CompactedError: the revision has been compacted meanwhile.
        """
        if self.is_last:
            raise StopIteration
        self._store.check_readable(self._revision, self._revision)
        if self._count_only:
            self.is_last = True
            return self._tail(self._count_from(self._next), more=False)
        wanted = self._keys_max
        if self._limit:
            wanted = min(wanted, self._limit - self._sent)
        rows = self._rows(wanted + 1)
        there_is_more = len(rows) > wanted
        values, size = self._values(rows[:wanted])
        there_is_more = there_is_more or len(values) < len(rows)
        self._sent += len(values)
        if values and there_is_more:
            self._next = key_of(values[-1]) + b"\0"
        if self._keys_only:
            values = [without_value(stored) for stored in values]
        parts = [delimited(_KVS, stored) for stored in values]
        if not there_is_more or self._sent == self._limit:
            self.is_last = True
            rest = self._count_from(self._next) if there_is_more else 0
            parts.append(self._tail(self._sent + rest, more=there_is_more))
        else:
            self._adapt(size)
        return b"".join(parts)

    def _rows(self, count: int) -> list[bytes]:
        index = self._store.index
        if self._revision == self._store.revision:
            return index.newest_rows(self._next, self._end, count)
        return index.rows_at(self._next, self._end, self._revision, count)

    def _values(self, rows: list[bytes]) -> tuple[list[bytes], int]:
        """The first values, up to where they are enough, and their size in bytes."""
        values: list[bytes] = []
        size = 0
        step = min(ROWS_AT_A_TIME, self._keys_max)
        for first in range(0, len(rows), step):
            for stored in self._store.values(rows[first : first + step]):
                values.append(stored)
                size += len(stored)
                if size >= self._bytes_target:
                    return values, size
        return values, size

    def _adapt(self, size: int) -> None:
        """Ask for more keys next time while there is room, for less when there is not."""
        if size >= self._bytes_target:
            self._keys_max = max(self._keys_max // 2, 1)
        elif 2 * size < self._bytes_target:
            self._keys_max = min(self._keys_max * 2, KEYS_MAX)

    def _count_from(self, start: bytes) -> int:
        index = self._store.index
        if self._revision == self._store.revision:
            return index.count(start, self._end)
        return index.count_at(start, self._end, self._revision)

    @staticmethod
    def _tail(count: int, *, more: bool) -> bytes:
        return (_MORE if more else b"") + (_COUNT + varint(count) if count else b"")
