"""v3election.Observe: who leads, and each value the leader proclaims.

One watch at a time: of the leader's key while there is a leader, of all keys of the election while
there is none. A leader that comes and goes between two looks may be passed over; the present one is
always told.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kvorum.proto.kv_pb2 import Event, KeyValue
from kvorum.proto.rpc_pb2 import ResponseHeader
from kvorum.proto.wire import delimited
from kvorum.server.concurrency.election import KV_TAG
from kvorum.server.concurrency.port import (
    ConcurrencyPort,
    first_created,
    header_field,
    prefix_end,
    prefix_of,
)
from kvorum.server.concurrency.watch_reader import WatchReader


async def observe(server: ConcurrencyPort, name: bytes) -> AsyncGenerator[bytes, None]:
    """Encoded LeaderResponses, without end. To be closed (`aclosing`).

    Raises:
        WireError: the member cannot read.
    """
    prefix = prefix_of(name)
    while True:
        found = await first_created(server, prefix)
        if found.kvs:
            header, kv = found.header, found.kvs[0]
        else:
            first = await _first_put(server, prefix, found.header.revision + 1)
            if first is None:
                continue
            header, kv = first
            header.revision = kv.mod_revision
        yield _response(header, kv)
        reader = WatchReader(server, kv.key, b"", header.revision + 1)
        try:
            deleted = False
            while not deleted:
                response = await reader.next()
                deleted = response.canceled  # compaction has overtaken it: look anew
                for event in response.events:
                    if event.type == Event.DELETE:
                        deleted = True
                        break
                    yield _response(response.header, event.kv)
        finally:
            reader.close()


async def _first_put(
    server: ConcurrencyPort, prefix: bytes, start_revision: int
) -> tuple[ResponseHeader, KeyValue] | None:
    """The first key put below `prefix`; None: look again."""
    reader = WatchReader(server, prefix, prefix_end(prefix), start_revision)
    try:
        while True:
            response = await reader.next()
            if response.canceled:
                return None
            for event in response.events:
                if event.type == Event.PUT:
                    return response.header, event.kv
    finally:
        reader.close()


def _response(header: ResponseHeader, kv: KeyValue) -> bytes:
    return header_field(header) + delimited(KV_TAG, kv.SerializeToString())
