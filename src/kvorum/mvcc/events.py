"""One change of one key, as watchers see it.

Place: the store makes events (at the end of a write transaction, or from history for a watcher
that is behind); the watch package puts their frames into responses. An event is encoded once,
however many watchers get it.

Source: etcd api/mvccpb/kv.proto (Event), api/etcdserverpb/rpc.proto (WatchResponse.events = 11).
"""

from __future__ import annotations

from kvorum.proto.wire import varint


class Event:
    """A put or a deletion.

    `kv` is an encoded `mvccpb.KeyValue`: the stored bytes of a put; key and mod_revision alone of
    a deletion, whose `create_revision` and `version` are 0.
    """

    __slots__ = ("_frame", "create_revision", "is_delete", "key", "kv", "mod_revision", "version")

    def __init__(
        self,
        is_delete: bool,
        key: bytes,
        kv: bytes,
        mod_revision: int,
        create_revision: int = 0,
        version: int = 0,
    ) -> None:
        self.is_delete = is_delete
        self.key = key
        self.kv = kv
        self.mod_revision = mod_revision
        self.create_revision = create_revision
        self.version = version
        self._frame: bytes | None = None

    def frame(self) -> bytes:
        """The event as a field of `WatchResponse`: tag of field 11, length, Event. Made once."""
        frame = self._frame
        if frame is None:
            frame = self._frame = self.frame_with_prev(None)
        return frame

    def frame_with_prev(self, prev_kv: bytes | None) -> bytes:
        """The frame with `prev_kv` (an encoded KeyValue) in it. Not kept.

        Args:
            prev_kv: what the key held at `mod_revision - 1`; None: nothing, or compacted.
        """
        kv = self.kv
        body = b"\x12" + varint(len(kv)) + kv
        if self.is_delete:
            body = b"\x08\x01" + body
        if prev_kv is not None:
            body += b"\x1a" + varint(len(prev_kv)) + prev_kv
        return b"\x5a" + varint(len(body)) + body

    def __repr__(self) -> str:
        kind = "DELETE" if self.is_delete else "PUT"
        return f"Event({kind} {self.key!r} at {self.mod_revision})"
