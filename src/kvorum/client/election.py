"""An election in the cluster: of those who stand for it, one leads, and tells its value."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from kvorum.client.queueing import first_in, folder_of, key_of, wait_for_turn
from kvorum.client.ranges import prefix_end
from kvorum.client.txn import compare_create, op_delete, op_get, op_put
from kvorum.errors import NotElectionLeaderError, WireError
from kvorum.proto.kv_pb2 import Event, KeyValue
from kvorum.proto.rpc_pb2 import RangeResponse, ResponseHeader

if TYPE_CHECKING:
    from kvorum.client.client import Client

CLEAN_UP_TIMEOUT_S: Final = 5.0


class Election:
    """Made by `Session.election`."""

    def __init__(self, client: Client, lease_id: int, name: bytes) -> None:
        self._client = client
        self._lease_id = lease_id
        self._name = name
        self.key = key_of(name, lease_id)
        self.created = 0
        """Create revision of the key; 0: this session does not stand."""

    async def campaign(self, value: bytes) -> None:
        """Stand for it, and wait until this session leads, as long as it takes.

        Who gives up stands no longer.
        """
        response = (
            await self._client.kv.txn()
            .when(compare_create(self.key, "=", 0))
            .then(op_put(self.key, value, lease=self._lease_id))
            .orelse(op_get(self.key))
            .commit(timeout_s=None)
        )
        self.created = response.header.revision
        try:
            if not response.succeeded:
                found = response.responses[0].response_range.kvs[0]
                self.created = found.create_revision
                if found.value != value:
                    await self.proclaim(value)
            await wait_for_turn(self._client, self._name, self.created)
        except BaseException:
            with contextlib.suppress(WireError, asyncio.CancelledError):
                await self.resign(timeout_s=CLEAN_UP_TIMEOUT_S)
            raise

    async def proclaim(self, value: bytes) -> None:
        """Tell another value.

        Raises:
            NotElectionLeaderError: this session does not stand any more.
        """
        if self.created == 0:
            raise NotElectionLeaderError  # to compare with 0 would hold for a key that is not there
        response = (
            await self._client.kv.txn()
            .when(compare_create(self.key, "=", self.created))
            .then(op_put(self.key, value, lease=self._lease_id))
            .commit(timeout_s=None)
        )
        if not response.succeeded:
            self.created = 0
            raise NotElectionLeaderError

    async def resign(self, *, timeout_s: float | None = None) -> None:
        """Let the next one lead."""
        if self.created:
            comparison = compare_create(self.key, "=", self.created)
            txn = self._client.kv.txn().when(comparison).then(op_delete(self.key))
            await txn.commit(timeout_s=timeout_s)
            self.created = 0

    async def leader(self) -> KeyValue | None:
        """Key and value of who leads; None: nobody does."""
        found, _ = await first_in(self._client, self._name)
        return found

    async def observe(self) -> AsyncGenerator[RangeResponse, None]:
        """Who leads, with its value, now and after each change. Close it (`aclosing`) to end."""
        while True:
            found, header = await first_in(self._client, self._name)
            if found is None:
                found, header = await self._wait_candidate(header.revision + 1)
            yield RangeResponse(header=header, kvs=[found])
            async with aclosing(self._values(found.key, header.revision + 1)) as values:
                async for response in values:
                    yield response

    async def _wait_candidate(self, from_revision: int) -> tuple[KeyValue, ResponseHeader]:
        """The first one who stands from `from_revision` on."""
        folder = folder_of(self._name)
        watched = self._client.watch(folder, prefix_end(folder), start_revision=from_revision)
        async with watched as watcher:
            async for response in watcher:
                for event in response.events:
                    if event.type == Event.PUT:
                        header = ResponseHeader()
                        header.CopyFrom(response.header)
                        header.revision = event.kv.mod_revision
                        return event.kv, header
        raise AssertionError("a watch ends with an error")

    async def _values(self, key: bytes, from_revision: int) -> AsyncGenerator[RangeResponse, None]:
        """The leader's next values, until its key is deleted."""
        async with self._client.watch(key, start_revision=from_revision) as watcher:
            async for response in watcher:
                for event in response.events:
                    if event.type == Event.DELETE:
                        return
                    yield RangeResponse(header=response.header, kvs=[event.kv])
