"""The keys of a cluster as they are, and then every change: what a mirror is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from kvorum.client.ranges import EVERYTHING_AFTER, prefix_end
from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import RangeRequest

if TYPE_CHECKING:
    from kvorum.client.client import Client
    from kvorum.client.watcher import Watcher

PAGE_KEYS: Final = 1000


class Mirror:
    """Reads the keys that begin with `prefix`, as of one revision, and what happens after it."""

    def __init__(self, client: Client, prefix: bytes, revision: int = 0) -> None:
        self._client = client
        self._prefix = prefix
        self._end = prefix_end(prefix) if prefix else EVERYTHING_AFTER
        self.revision = revision
        """Of the keys; 0: not known yet."""

    async def pages(self) -> AsyncGenerator[list[KeyValue], None]:
        """All keys, in pages."""
        if self.revision == 0:
            self.revision = (await self._client.kv.get(b"foo", timeout_s=None)).header.revision
        start = self._prefix or EVERYTHING_AFTER
        while True:
            request = RangeRequest(
                key=start, range_end=self._end, limit=PAGE_KEYS, revision=self.revision
            )
            response = await self._client.kv.range(request, timeout_s=None)
            yield list(response.kvs)
            if not response.more:
                return
            start = response.kvs[-1].key + b"\0"

    def changes(self) -> Watcher:
        """Every change after the keys."""
        return self._client.watch(
            self._prefix or EVERYTHING_AFTER, self._end, start_revision=self.revision + 1
        )
