"""A lock in the cluster."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Self

from kvorum.client.queueing import first_operation, key_of, wait_for_turn
from kvorum.client.txn import compare_create, op_get, op_put
from kvorum.errors import SessionExpiredError, WireError
from kvorum.proto.kv_pb2 import KeyValue

if TYPE_CHECKING:
    from kvorum.client.client import Client

CLEAN_UP_TIMEOUT_S: Final = 5.0


class Mutex:
    """Made by `Session.lock`. `async with` holds it; or `acquire` and `release`."""

    def __init__(self, client: Client, lease_id: int, name: bytes) -> None:
        self._client = client
        self._lease_id = lease_id
        self._name = name
        self.key = key_of(name, lease_id)
        """The key that stands for the holder."""
        self.created = 0
        """Its create revision; a fencing token."""
        self.revision = 0
        """The revision when the lock was acquired."""

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    async def acquire(self) -> None:
        """Wait for the lock, as long as it takes. Who gives up leaves the queue.

        Raises:
            SessionExpiredError: the session ended meanwhile.
        """
        owner = await self._enter()
        if owner is None or owner.create_revision == self.created:
            return
        try:
            await wait_for_turn(self._client, self._name, self.created)
            response = await self._client.kv.get(self.key, timeout_s=None)
        except BaseException:
            await self._leave()
            raise
        if not response.kvs or response.kvs[0].create_revision != self.created:
            raise SessionExpiredError
        self.revision = response.header.revision

    async def release(self) -> None:
        """Let the next one in."""
        await self._client.kv.delete(self.key, timeout_s=None)

    async def _enter(self) -> KeyValue | None:
        """Stand in the queue; the key whose turn it is."""
        response = (
            await self._client.kv.txn()
            .when(compare_create(self.key, "=", 0))
            .then(op_put(self.key, b"", lease=self._lease_id), first_operation(self._name))
            .orelse(op_get(self.key), first_operation(self._name))
            .commit(timeout_s=None)
        )
        self.revision = self.created = response.header.revision
        if not response.succeeded:
            self.created = response.responses[0].response_range.kvs[0].create_revision
        owners = response.responses[1].response_range.kvs
        return owners[0] if owners else None

    async def _leave(self) -> None:
        with contextlib.suppress(WireError, asyncio.CancelledError):
            await self._client.kv.delete(self.key, timeout_s=CLEAN_UP_TIMEOUT_S)
