"""Why a member cancelled a watch.

The response carries no status code: the reason is a text, and for a compaction not even that.

Source: shared facts, client.md section 7.
"""

from __future__ import annotations

import re

from kvorum.errors import (
    Code,
    CompactedError,
    FutureRevisionError,
    StatusError,
    WireError,
    from_wire,
)
from kvorum.proto.rpc_pb2 import WatchResponse

_CODES = {code.go_name: code for code in Code}
_STATUS = re.compile(r"rpc error: code = (\w+) desc = (.*)", re.DOTALL)


def cancel_error(response: WatchResponse) -> WireError:
    """The error that a cancelling response stands for."""
    reason = response.cancel_reason
    if response.compact_revision or reason == CompactedError.text:
        return CompactedError()
    if not reason:
        # Source: etcd client/v3 watch.go: what is left are members before 3.4.
        return FutureRevisionError()
    status = _STATUS.fullmatch(reason)
    if status is not None and status[1] in _CODES:
        return from_wire(_CODES[status[1]], status[2])
    return StatusError(Code.FAILED_PRECONDITION, reason)
