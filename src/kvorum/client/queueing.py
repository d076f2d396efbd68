"""The queue that locks and elections are: keys below a name, first come first served.

Who wants in puts a key `name/<lease in hex>`, with its lease. Whose key was created first has its
turn; who goes deletes its key. Each waits only for those before it.

Source: etcd client/v3/concurrency (names of the keys, order); shared facts, client.md section 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum.client.ranges import prefix_end
from kvorum.proto.kv_pb2 import Event, KeyValue
from kvorum.proto.rpc_pb2 import RangeRequest, RequestOp, ResponseHeader

if TYPE_CHECKING:
    from kvorum.client.client import Client


def folder_of(name: bytes) -> bytes:
    """What all keys of the queue begin with."""
    return name + b"/"


def key_of(name: bytes, lease_id: int) -> bytes:
    return folder_of(name) + b"%x" % lease_id


def first_request(name: bytes) -> RangeRequest:
    """Asks for the key whose turn it is."""
    folder = folder_of(name)
    return RangeRequest(
        key=folder,
        range_end=prefix_end(folder),
        limit=1,
        sort_order=RangeRequest.ASCEND,
        sort_target=RangeRequest.CREATE,
    )


def first_operation(name: bytes) -> RequestOp:
    return RequestOp(request_range=first_request(name))


async def first_in(client: Client, name: bytes) -> tuple[KeyValue | None, ResponseHeader]:
    """The key whose turn it is, if there is one, and the header that tells at which revision."""
    response = await client.kv.range(first_request(name), timeout_s=None)
    return (response.kvs[0] if response.kvs else None), response.header


async def wait_for_turn(client: Client, name: bytes, created: int) -> None:
    """Return when no key is left that was created before revision `created`."""
    folder = folder_of(name)
    request = RangeRequest(
        key=folder,
        range_end=prefix_end(folder),
        limit=1,
        sort_order=RangeRequest.DESCEND,
        sort_target=RangeRequest.CREATE,
        max_create_revision=created - 1,
    )
    while True:
        response = await client.kv.range(request, timeout_s=None)
        if not response.kvs:
            return
        await wait_deleted(client, response.kvs[0].key, response.header.revision + 1)


async def wait_deleted(client: Client, key: bytes, from_revision: int) -> None:
    """Return when `key` is deleted, at `from_revision` or later."""
    async with client.watch(key, start_revision=from_revision) as watcher:
        async for response in watcher:
            if any(event.type == Event.DELETE for event in response.events):
                return
