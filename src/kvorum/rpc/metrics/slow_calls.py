r"""Tells of unary calls that took longer than `--warning-unary-request-duration`.

At level debug of all others as well.

    {"level":"warn",…,"msg":"request stats","start time":"…","time spent":"412ms",
     "remote":"127.0.0.1:5276","response type":"/etcdserverpb.KV/Put","request count":1,
     "request size":6,"response count":0,"response size":26,"request content":"key:\"a\" …"}

Counts and sizes are -1 for methods that are not about keys, whose content is not shown either.

Source: log lines of 3.5.1 at level debug.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kvorum.gotext import duration_text
from kvorum.proto.rpc_pb2 import (
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    RangeRequest,
    RangeResponse,
    TxnRequest,
    TxnResponse,
)
from kvorum.rpc.metrics.calls import EndedCall
from kvorum.server.clock import unix_ms
from kvorum.server.log import Level, Logger
from kvorum.server.request_text import request_text

MESSAGE = "request stats"
_UNKNOWN = -1
_KEY_REQUESTS = (PutRequest, RangeRequest, DeleteRangeRequest, TxnRequest)


class SlowCalls:
    """A `CallFigures.slow` that writes to a log.

    Args:
        warning_s: what took longer is a warning; the rest is for debugging.
    """

    def __init__(self, log: Logger, warning_s: float) -> None:
        self._log = log
        self._warning_s = warning_s

    def __call__(self, path: str, call: EndedCall) -> None:
        level = Level.WARN if call.took_s > self._warning_s else Level.DEBUG
        if not self._log.takes(level, MESSAGE):
            return
        fields = {
            "start time": _timestamp(unix_ms() / 1000 - call.took_s),
            "time spent": duration_text(call.took_s),
            "remote": call.remote,
            "response type": path,
        }
        self._log.emit(level, MESSAGE, fields | _content(call))


def _timestamp(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _content(call: EndedCall) -> dict[str, Any]:
    known = call.kind in _KEY_REQUESTS and call.response is not None
    counts = (_UNKNOWN, _UNKNOWN)
    text = ""
    if known:
        assert call.response is not None
        request = call.kind.FromString(call.message)
        counts = _counts(request, call.response)
        text = request_text(request)
    return {
        "request count": counts[0],
        "request size": len(call.message) if known else _UNKNOWN,
        "response count": counts[1],
        "response size": len(call.response or b"") if known else _UNKNOWN,
        "request content": text,
    }


def _counts(request: Any, response: bytes) -> tuple[int, int]:
    """Keys that the request is about, and that the response holds, as 3.5.1 counts them."""
    if isinstance(request, PutRequest):
        return 1, 0
    if isinstance(request, RangeRequest):
        return 0, len(RangeResponse.FromString(response).kvs)
    if isinstance(request, DeleteRangeRequest):
        return 0, DeleteRangeResponse.FromString(response).deleted
    answer = TxnResponse.FromString(response)
    operations = request.success if answer.succeeded else request.failure
    found = sum(len(one.response_range.kvs) for one in answer.responses)
    return len(operations), found
