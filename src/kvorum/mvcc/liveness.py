"""The log of which keys came to life and died, for counting keys at an older revision.

The number of keys of a range alive at revision R is the number alive now, minus those born since
R, plus those that died since. `net_after` gives that difference without looking at any key that
did not change.

The log reaches back to the compaction revision; nobody may read before it. It is cut into chunks
of `CHUNK_CHANGES`. The first time a chunk is asked about it sorts its births and its deaths (0.2
ms), so that from then on a whole chunk costs four bisections.

Cost: one append for a birth or a death (0.15 µs, about 17 bytes; twice that once sorted). A count
at R takes O(c log c) of chunks behind R plus at most `CHUNK_CHANGES` steps: about 2 µs for each
1,024 births and deaths since R.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

CHUNK_CHANGES = 1024


class _Chunk:
    """Up to `CHUNK_CHANGES` changes, oldest first."""

    __slots__ = ("_born", "_died", "births", "keys", "revisions")

    def __init__(self) -> None:
        self.revisions = array("q")
        self.keys: list[bytes] = []
        self.births = bytearray()
        self._born: list[bytes] | None = None
        self._died: list[bytes] = []

    def net(self, start: bytes, end: bytes) -> int:
        """Births minus deaths in `[start, end)`; an end of b"" is none. Of a full chunk only."""
        born = self._born
        if born is None:
            assert len(self.keys) == CHUNK_CHANGES
            born = self._born = sorted(
                key for key, birth in zip(self.keys, self.births, strict=True) if birth
            )
            self._died = sorted(
                key for key, birth in zip(self.keys, self.births, strict=True) if not birth
            )
        return _count(born, start, end) - _count(self._died, start, end)

    def net_after(self, revision: int, start: bytes, end: bytes) -> int:
        """As `net`, of the changes with a revision above `revision`, one by one."""
        net = 0
        for place in range(bisect_right(self.revisions, revision), len(self.keys)):
            key = self.keys[place]
            if start <= key and (not end or key < end):
                net += 1 if self.births[place] else -1
        return net


def _count(keys: list[bytes], start: bytes, end: bytes) -> int:
    low = bisect_left(keys, start)
    return max(0, (bisect_left(keys, end) if end else len(keys)) - low)


class LivenessLog:
    """See the module. Revisions are added in ascending order."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks = [_Chunk()]

    def add(self, revision: int, key: bytes, birth: bool) -> None:
        """Note that `key` came to life (`birth`) or died at `revision`."""
        chunk = self._chunks[-1]
        if len(chunk.keys) == CHUNK_CHANGES:
            chunk = _Chunk()
            self._chunks.append(chunk)
        chunk.revisions.append(revision)
        chunk.keys.append(key)
        chunk.births.append(birth)

    def net_after(self, revision: int, start: bytes, end: bytes) -> int:
        """Births minus deaths in `[start, end)` after `revision`; an end of b"" is none."""
        net = 0
        for chunk in reversed(self._chunks):
            if not chunk.keys or chunk.revisions[-1] <= revision:
                break
            if chunk.revisions[0] > revision and len(chunk.keys) == CHUNK_CHANGES:
                net += chunk.net(start, end)
            else:
                net += chunk.net_after(revision, start, end)
        return net

    def forget(self, revision: int) -> None:
        """Drop what no count at `revision` or later needs."""
        chunks = self._chunks
        keep = 0
        while keep < len(chunks) - 1 and chunks[keep].revisions[-1] <= revision:
            keep += 1
        del chunks[:keep]

    def __len__(self) -> int:
        return sum(len(chunk.keys) for chunk in self._chunks)
