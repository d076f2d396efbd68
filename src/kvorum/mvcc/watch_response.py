"""WatchResponse, encoded by hand from parts that are shared between watchers.

Place: `watch` and `watch_stream` put responses together here; frames come from `events`.

A response is header + watch id + (marks) + event frames. Only the watch id belongs to one
watcher, so the rest is made once and concatenated.

Source: etcd api/etcdserverpb/rpc.proto (WatchResponse); shared facts, client.md section 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from kvorum.proto.wire import varint

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_WATCH_ID: Final = -1
"""The id in responses that belong to no watcher: refusals, and answers to a progress request."""

_WATCH_ID_TAG = b"\x10"
_CREATED = b"\x18\x01"
_CANCELED = b"\x20\x01"
_COMPACT_REVISION_TAG = b"\x28"
_CANCEL_REASON_TAG = b"\x32"
_FRAGMENT = b"\x38\x01"


def id_field(watch_id: int) -> bytes:
    """The field `watch_id`; nothing for 0, as proto3 has it."""
    return _WATCH_ID_TAG + varint(watch_id) if watch_id else b""


NO_WATCH_ID_FIELD: Final = id_field(NO_WATCH_ID)


def created(header: bytes, id_part: bytes) -> bytes:
    return header + id_part + _CREATED


def canceled(header: bytes, id_part: bytes) -> bytes:
    """The answer to a client's cancel."""
    return header + id_part + _CANCELED


def compacted(header: bytes, id_part: bytes, compact_revision: int) -> bytes:
    """The end of a watcher whose next revision has been compacted away."""
    return header + id_part + _CANCELED + _COMPACT_REVISION_TAG + varint(compact_revision)


def refused(header: bytes, reason: str) -> bytes:
    """The answer to a create request that makes no watcher."""
    text = reason.encode()
    return (
        header
        + NO_WATCH_ID_FIELD
        + _CREATED
        + _CANCELED
        + _CANCEL_REASON_TAG
        + varint(len(text))
        + text
    )


def fragments(
    header: bytes, id_part: bytes, frames: Sequence[bytes], size_bytes_max: int
) -> list[bytes]:
    """The events as responses below `size_bytes_max`, cut between events.

    All but the last carry the fragment mark. One event alone is never cut, so a response with
    a single event may be larger.
    """
    start = header + id_part
    if len(frames) < 2 or len(start) + sum(map(len, frames)) < size_bytes_max:
        return [start + b"".join(frames)]
    start_marked = start + _FRAGMENT
    messages: list[bytes] = []
    first, size = 0, len(start_marked)
    for position, frame in enumerate(frames):
        if position > first and size + len(frame) >= size_bytes_max:
            messages.append(start_marked + b"".join(frames[first:position]))
            first, size = position, len(start_marked)
        size += len(frame)
    messages.append(start + b"".join(frames[first:]))
    return messages


@final
class EventResponse:
    """Some events for a group: the response of each watcher, made once for each watch id."""

    __slots__ = ("_body", "_by_id", "_frames", "_header", "_size_bytes_max", "events_count")

    def __init__(
        self, header: bytes, frames: Sequence[bytes], fragment_bytes_max: int | None
    ) -> None:
        """Concatenate the frames. `fragment_bytes_max`: None: never cut; else see `fragments`."""
        self._header = header
        self._frames = frames
        self.events_count = len(frames)
        self._body = b"".join(frames)
        self._size_bytes_max = fragment_bytes_max
        self._by_id: dict[bytes, list[bytes]] = {}

    def messages(self, id_part: bytes) -> list[bytes]:
        """One message, or several fragments that must follow one another."""
        messages = self._by_id.get(id_part)
        if messages is None:
            if self._size_bytes_max is None:
                messages = [self._header + id_part + self._body]
            else:
                messages = fragments(self._header, id_part, self._frames, self._size_bytes_max)
            self._by_id[id_part] = messages
        return messages
