"""What a learner answers: its own status, and reads that need not be the newest.

Clients are better served by a member that votes; a learner that answered might be far behind. The
guard costs nothing once the member votes: the methods are then called without it.

Source: shared facts, client.md section 3; 3.5.1 (also for the snapshot).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from kvorum.errors import NotSupportedForLearnerError, OldLearnerError, WireError
from kvorum.proto.rpc_pb2 import RangeRequest, StatusRequest
from kvorum.proto.versions import Version
from kvorum.rpc.calls import Call, CallHandler, StreamMethod, UnaryMethod

SNAPSHOT: Final = "/etcdserverpb.Maintenance/Snapshot"
NEWER_RULES_SINCE: Final = Version(3, 6)
"""From here on a learner refuses with `FailedPrecondition`; before, with `Unavailable`."""


class LearnerGuard:
    """Refuses what a learner does not answer.

    Args:
        is_learner: whether the member is one. Once it votes it stays a voter.
        version: presented.
    """

    def __init__(self, is_learner: Callable[[], bool], version: Version) -> None:
        self._is_learner = is_learner
        self._newer = version >= NEWER_RULES_SINCE
        self.on_voter: Callable[[], None] = _nothing
        """Called with a request that finds that the member votes: the guard is not needed."""

    def unary(self, method: UnaryMethod) -> UnaryMethod:
        """`method`, guarded."""

        def call(request: Any, raw: bytes) -> bytes | Awaitable[bytes]:
            if not self._is_learner():
                self.on_voter()
            elif not _is_answered(request):
                raise self._refusal()
            return method(request, raw)

        return call

    def stream(self, path: str, method: StreamMethod) -> StreamMethod:
        """`method` of `path`, guarded."""

        def call(opened: Call) -> CallHandler:
            if not self._is_learner():
                self.on_voter()
            elif path != SNAPSHOT:
                raise self._refusal()
            return method(opened)

        return call

    def _refusal(self) -> WireError:
        return NotSupportedForLearnerError() if self._newer else OldLearnerError()


def _is_answered(request: Any) -> bool:
    if isinstance(request, RangeRequest):
        return request.serializable
    return isinstance(request, StatusRequest)


def _nothing() -> None:
    """Until somebody wants to know."""
