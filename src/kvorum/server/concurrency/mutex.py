"""v3lock: who created the oldest key below a lock's name holds it."""

from __future__ import annotations

from kvorum.proto.lock_pb2 import LockRequest, UnlockRequest
from kvorum.proto.rpc_pb2 import DeleteRangeRequest, DeleteRangeResponse
from kvorum.proto.wire import delimited
from kvorum.server.concurrency.port import ConcurrencyPort, header_field, prefix_of, settled
from kvorum.server.concurrency.session import Sessions

_KEY_TAG = b"\x12"


class Mutexes:
    """The service's methods. They return encoded responses and raise `WireError`s."""

    def __init__(self, server: ConcurrencyPort, sessions: Sessions) -> None:
        self._server = server
        self._sessions = sessions

    async def lock(self, request: LockRequest) -> bytes:
        """Return when the lock is held. Cancelled, it leaves no key behind."""
        prefix = prefix_of(request.name)
        entered = await self._sessions.enter(prefix, request.lease, b"")
        waited = await self._sessions.wait_first(prefix, entered)
        header = self._server.header() if waited else header_field(entered.header)
        return header + delimited(_KEY_TAG, entered.key)

    async def unlock(self, request: UnlockRequest) -> bytes:
        """Remove a lock's key; that it is not there is no error."""
        delete = DeleteRangeRequest(key=request.key)
        raw = await settled(self._server.delete_range(delete, delete.SerializeToString()))
        return header_field(DeleteRangeResponse.FromString(raw).header)
