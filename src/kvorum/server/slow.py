r"""Warnings of what took too long: the line that operators of etcd look for first.

    {"level":"warn",…,"msg":"apply request took too long","took":"119.457ms",
     "expected-duration":"100ms","prefix":"read-only range ","request":"key:\"a\" ",
     "response":"range_response_count:1 size:20"}

Source: log lines of 3.5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvorum.gotext import duration_text
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.rpc_pb2 import RangeRequest, RangeResponse, TxnRequest, TxnResponse
from kvorum.server import entries
from kvorum.server.log import Level, Logger
from kvorum.server.metrics.counters import MemberCounters
from kvorum.server.request_text import compact, entry_text, txn_text

MESSAGE = "apply request took too long"
READ_RANGE, READ_TXN = "read-only range ", "read-only txn "


class SlowRequests:
    """Counts and tells requests that took longer than `limit_s`.

    The caller compares, so that a request that did not costs one comparison.
    """

    __slots__ = ("_counters", "_log", "limit_s")

    def __init__(self, limit_s: float, counters: MemberCounters, log: Logger) -> None:
        self.limit_s = limit_s
        self._counters = counters
        self._log = log

    def applied(self, took_s: float, data: bytes, response: bytes | BaseException) -> None:
        """An entry of the log took too long to apply. `response`: or the error."""
        self._tell(took_s, "", lambda: _entry_text(data), response, _size_text)

    def read(
        self, took_s: float, request: RangeRequest | TxnRequest, response: bytes | BaseException
    ) -> None:
        """A range, or a transaction that only reads, took too long. Waiting counts."""
        if isinstance(request, RangeRequest):
            self._tell(took_s, READ_RANGE, lambda: compact(request), response, range_response_text)
        else:
            self._tell(took_s, READ_TXN, lambda: txn_text(request), response, txn_response_text)

    def no_read_index(self, waited_s: float, *, has_leader: bool) -> None:
        """A read waited `waited_s` for an index from the leader, and is given up."""
        if has_leader:
            self._counters.slow_reads += 1
        else:
            self._counters.reads_failed += 1
        self._log.warn(
            "timed out waiting for read index response (local node might have slow network)",
            timeout=duration_text(waited_s),
        )

    def _tell(
        self,
        took_s: float,
        prefix: str,
        request: Callable[[], str],
        response: bytes | BaseException,
        describe: Callable[[bytes], str],
    ) -> None:
        self._counters.slow_applies += 1
        if not self._log.takes(Level.WARN, MESSAGE):
            return
        failed = isinstance(response, BaseException)
        fields: dict[str, Any] = {
            "took": duration_text(took_s),
            "expected_duration": duration_text(self.limit_s),
            "prefix": prefix,
            "request": request(),
            "response": "" if isinstance(response, BaseException) else describe(response),
        }
        if failed:
            fields["error"] = response
        self._log.emit(Level.WARN, MESSAGE, fields)


def _entry_text(data: bytes) -> str:
    entry = entries.decode(data)
    return entry_text(entry) if isinstance(entry, InternalRaftRequest) else compact(entry)


def _size_text(response: bytes) -> str:
    return f"size:{len(response)}"


def range_response_text(response: bytes) -> str:
    count = len(RangeResponse.FromString(response).kvs)
    return f"range_response_count:{count} size:{len(response)}"


def txn_response_text(response: bytes) -> str:
    parts = [
        f"range_response_count:{len(one.response_range.kvs)}"
        if one.HasField("response_range")
        else f"{(one.WhichOneof('response') or 'none').removeprefix('response_')}:<>"
        for one in TxnResponse.FromString(response).responses
    ]
    return f"responses:<{' '.join(parts)}> size:{len(response)}"
