"""`--quota-backend-bytes`: how large the database may grow, and the alarm when it is full.

The size counts whole pages of the file, free ones too, as of the last commit. A request is refused
when the size and what the request may add reach the quota; then NOSPACE is raised for the whole
cluster, and no member takes anything that grows until the alarm is taken back by hand. A request
that adds nothing has always room (3.5.1 lets even a transaction that only deletes fail here).

A member whose database becomes full by what others propose raises the alarm when it applies that.
The answer stays what it is: the write has been made.

Source: etcd server/storage/quota.go (costs); shared facts, client.md section 10; observed on 3.5.1.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kvorum.errors import NoSpaceError, WireError
from kvorum.gotext import format_size
from kvorum.proto.rpc_pb2 import NOSPACE, AlarmRequest, PutRequest, RequestOp, TxnRequest
from kvorum.server import entries
from kvorum.server.alarms import Alarms
from kvorum.server.log import Logger

PUT_OVERHEAD_BYTES: Final = 256
LEASE_BYTES: Final = 64
"""What a put costs besides its key and value, and a lease in all."""
QUOTA_BYTES_USUAL_MAX: Final = 8 << 30
"""Above this stock warns: a database takes long to open, to copy and to defragment."""

ProposeOwn = Callable[[bytes, Any], "asyncio.Future[bytes]"]


class Quota:
    """See the module.

    Args:
        limit_bytes: 0: none.
        size: bytes of the database.
    """

    def __init__(
        self,
        limit_bytes: int,
        *,
        size: Callable[[], int],
        member_id: int,
        alarms: Alarms,
        propose: ProposeOwn,
        log: Logger,
    ) -> None:
        self._limit_bytes: float = limit_bytes or math.inf
        self._size = size
        self._member_id = member_id
        self._alarms = alarms
        self._propose = propose
        self._log = log
        self._raising: asyncio.Future[bytes] | None = None

    def has_room(self, cost_bytes: int) -> bool:
        return self._size() + cost_bytes < self._limit_bytes

    def refuse_nowait(self) -> asyncio.Future[bytes]:
        """A future that raises NoSpaceError when the alarm is known to the cluster."""
        return asyncio.ensure_future(self._refuse())

    async def _refuse(self) -> bytes:
        if (self._member_id, NOSPACE) not in self._alarms.active(NOSPACE):
            with suppress(WireError):  # the request is refused all the same
                await asyncio.shield(self._raise())
        raise NoSpaceError

    def note_growth(self, txn: TxnRequest | None = None) -> None:
        """A write has been applied; given a transaction, one that may have put nothing.

        Called for each of them: 0.15 µs (CPython 3.11).
        """
        if self._size() < self._limit_bytes or self._alarms.no_space:
            return
        if txn is None or txn_cost(txn):
            self._note_full()

    def _note_full(self) -> None:
        if self._raising is not None:
            return
        self._log.warn(
            "message exceeded backend quota; raising alarm",
            quota_size_bytes=self._limit_bytes,
            quota_size=format_size(int(self._limit_bytes)),
            error=NoSpaceError.text,
        )
        try:
            self._raise()
        except WireError:
            return  # the member stops, or is flooded: the next write tries again

    def _raise(self) -> asyncio.Future[bytes]:
        """Propose the alarm, unless that is under way."""
        if self._raising is None:
            request = AlarmRequest(
                action=AlarmRequest.ACTIVATE, memberID=self._member_id, alarm=NOSPACE
            )
            self._raising = self._propose(entries.ALARM, request)
            self._raising.add_done_callback(self._raised)
        return self._raising

    def _raised(self, future: asyncio.Future[bytes]) -> None:
        self._raising = None
        if not future.cancelled():
            future.exception()


def put_cost(request: PutRequest) -> int:
    """How much a put may add to the database, in bytes, by etcd's estimate."""
    return PUT_OVERHEAD_BYTES + len(request.key) + len(request.value)


def txn_cost(request: TxnRequest) -> int:
    """As `put_cost`, of a transaction: of its dearer branch.

    Puts in a transaction within the transaction count nothing. All members must agree on what
    costs something, for that is what they refuse under an alarm; stock counts so.
    """
    return max(_branch_cost(request.success), _branch_cost(request.failure))


def _branch_cost(branch: Any) -> int:
    return sum(_operation_cost(operation) for operation in branch)


def _operation_cost(operation: RequestOp) -> int:
    return put_cost(operation.request_put) if operation.HasField("request_put") else 0


def log_quota(log: Logger, quota_backend_bytes: int, limit_bytes: int | None) -> None:
    """Tell which quota holds, as stock does.

    Args:
        log: where to.
        quota_backend_bytes: as configured.
        limit_bytes: what that means; None: no quota.
    """
    named = log.bound(quota_name="v3-applier")
    if limit_bytes is None:
        named.info("disabled backend quota", quota_size_bytes=quota_backend_bytes)
        return
    sizes = {"quota_size_bytes": limit_bytes, "quota_size": format_size(limit_bytes)}
    if quota_backend_bytes == 0:
        named.info("enabled backend quota with default value", **sizes)
        return
    if limit_bytes > QUOTA_BYTES_USUAL_MAX:
        named.warn(
            "quota exceeds the maximum value",
            **sizes,
            quota_maximum_size_bytes=QUOTA_BYTES_USUAL_MAX,
            quota_maximum_size=format_size(QUOTA_BYTES_USUAL_MAX),
        )
    named.info("enabled backend quota", **sizes)
