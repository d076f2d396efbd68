"""What a learner answers, and that a voter is not asked again."""

from __future__ import annotations

from typing import Any

import pytest

from kvorum.errors import Code, WireError, status_of
from kvorum.proto.rpc_pb2 import MemberListRequest, PutRequest, RangeRequest, StatusRequest
from kvorum.proto.versions import Version
from kvorum.rpc.learners import SNAPSHOT, LearnerGuard

TEXT = "etcdserver: rpc not supported for learner"


def answer(request: Any, raw: bytes) -> bytes:
    del request, raw
    return b"answered"


@pytest.mark.parametrize("request_", [StatusRequest(), RangeRequest(serializable=True)])
def test_a_learner_tells_its_status_and_what_it_has(request_: Any) -> None:
    guard = LearnerGuard(lambda: True, Version(3, 6))
    assert guard.unary(answer)(request_, b"") == b"answered"


@pytest.mark.parametrize("request_", [RangeRequest(), PutRequest(), MemberListRequest()])
@pytest.mark.parametrize(
    ("version", "code"),
    [(Version(3, 5), Code.UNAVAILABLE), (Version(3, 6), Code.FAILED_PRECONDITION)],
)
def test_a_learner_refuses_everything_else(request_: Any, version: Version, code: Code) -> None:
    guard = LearnerGuard(lambda: True, version)
    with pytest.raises(WireError, match=TEXT) as caught:
        guard.unary(answer)(request_, b"")
    assert status_of(caught.value) == code


def test_of_streams_a_learner_has_only_its_database() -> None:
    guard = LearnerGuard(lambda: True, Version(3, 6))
    opened: Any = object()
    assert guard.stream(SNAPSHOT, lambda call: call)(opened) is opened  # type: ignore[arg-type, return-value]
    with pytest.raises(WireError, match=TEXT):
        guard.stream("/etcdserverpb.Watch/Watch", lambda call: call)(opened)  # type: ignore[arg-type, return-value]


def test_the_guard_is_dropped_when_the_member_votes() -> None:
    guard = LearnerGuard(lambda: False, Version(3, 6))
    dropped: list[bool] = []
    guard.on_voter = lambda: dropped.append(True)
    assert guard.unary(answer)(PutRequest(), b"") == b"answered"
    assert dropped == [True]
