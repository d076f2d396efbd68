"""What the watch package needs from outside, and its bounds.

Place: the store is a `History`, the rpc layer's stream is a `StreamSink`; `WatchLimits` comes from
the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kvorum.mvcc.events import Event

MIB = 1 << 20


class History(Protocol):
    """What watchers need of the store."""

    @property
    def revision(self) -> int:
        """The newest revision."""

    @property
    def compact_revision(self) -> int:
        """Revisions below this one cannot be read any more."""

    def events_between(self, start: int, end: int) -> Iterable[tuple[int, Sequence[Event]]]:
        """The events of each revision from `start` to `end`, both included, in their order.

        Read bit by bit, for a caller that stops early.
        """

    def kv_at(self, key: bytes, revision: int) -> bytes | None:
        """The encoded KeyValue that `key` held at `revision`; None: none."""


class StreamSink(Protocol):
    """Where the responses of a stream go. Calls come from the loop's thread alone."""

    def send(self, message: bytes) -> bool:
        """Take one encoded WatchResponse. It is always taken.

        Returns False when the sink's buffer is above its bound: no events come after that until
        the owner has called `WatchStream.writable()`. Must not call back into the stream or hub.
        The same object may come more than once, and to several sinks.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLimits:
    """Bounds of a member's watching."""

    watchers_per_stream_max: int = 1_000_000
    """A create request above this is refused with a reason, and makes no watcher."""

    fragment_bytes_max: int = 1_572_864 + 524_288
    """A watcher that asked for fragments gets responses below this size, unless a single event is
    larger. In stock: `--max-request-bytes` plus gRPC's overhead."""

    response_bytes_max: int = MIB
    """Events of several revisions share a response up to this size. A revision that is larger by
    itself goes out whole: only a watcher that asked for fragments may get a part of one."""

    window_bytes_max: int = 4 * MIB
    """A catch-up round reads no further revisions once it holds this much, so that large values
    do not fill the memory."""

    revisions_per_round_max: int = 1_000
    """Revisions that a catch-up round reads."""

    unsynced_per_round_max: int = 512
    """Watchers that a catch-up round looks at."""

    progress_per_round_max: int = 1_000
    """Periodic progress notifications that a round sends."""
