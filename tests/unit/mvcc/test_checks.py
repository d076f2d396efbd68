"""Stock 3.5.1 and 3.4.23 gave these answers; tests/interop asks them again."""

from __future__ import annotations

import pytest

from kvorum.errors import (
    DuplicateKeyError,
    EmptyKeyError,
    InvalidSortOptionError,
    KeyNotFoundError,
    LeaseProvidedError,
    RequestError,
    TooManyOpsError,
    ValueProvidedError,
)
from kvorum.mvcc.checks import check_delete_range, check_put, check_range, check_txn
from kvorum.mvcc.rules import V3_5
from kvorum.proto.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from tests.unit.mvcc.stores import delete_op, put_op, range_op, txn_op

FROM_KEY = b"\0"


def test_a_key_is_needed() -> None:
    for check, request in (
        (check_range, RangeRequest(range_end=b"z")),
        (check_put, PutRequest(value=b"v")),
        (check_delete_range, DeleteRangeRequest(range_end=b"z")),
        (check_txn, TxnRequest(compare=[Compare()])),
        (check_txn, TxnRequest(success=[put_op(b"")])),
        (check_txn, TxnRequest(failure=[range_op(b"")])),
        (check_txn, TxnRequest(failure=[txn_op(delete_op(b""))])),
    ):
        with pytest.raises(EmptyKeyError):
            check(request)


@pytest.mark.parametrize("field", ["sort_order", "sort_target"])
def test_sort_options_outside_of_their_enum_are_refused_from_3_6_on(field: str) -> None:
    request = RangeRequest(key=b"k", **{field: 9})
    with pytest.raises(InvalidSortOptionError):
        check_range(request)
    with pytest.raises(InvalidSortOptionError):
        check_txn(TxnRequest(success=[RequestOp(request_range=request)]))
    check_range(request, V3_5)
    check_txn(TxnRequest(success=[RequestOp(request_range=request)]), V3_5)


def test_every_sort_option_of_the_enums_is_taken() -> None:
    for order in range(3):
        for target in range(5):
            check_range(RangeRequest(key=b"k", sort_order=order, sort_target=target))


def test_what_is_ignored_may_not_be_given() -> None:
    with pytest.raises(ValueProvidedError):
        check_put(PutRequest(key=b"k", value=b"v", ignore_value=True))
    with pytest.raises(LeaseProvidedError):
        check_put(PutRequest(key=b"k", lease=1, ignore_lease=True))
    check_put(PutRequest(key=b"k", ignore_value=True, ignore_lease=True))


def test_an_operation_that_is_none_is_refused() -> None:
    with pytest.raises(KeyNotFoundError):
        check_txn(TxnRequest(failure=[RequestOp()]))


def ops(count: int) -> list[RequestOp]:
    return [range_op(b"k") for _ in range(count)]


def test_the_longest_list_of_a_txn_is_bounded() -> None:
    compares = [Compare(key=b"k")] * 128
    check_txn(TxnRequest(compare=compares, success=ops(128), failure=ops(128)))
    with pytest.raises(TooManyOpsError):
        check_txn(TxnRequest(compare=[Compare(key=b"k")] * 129))
    with pytest.raises(TooManyOpsError):
        check_txn(TxnRequest(success=ops(129)))
    with pytest.raises(TooManyOpsError):
        check_txn(TxnRequest(failure=ops(3)), max_ops=2)


def test_nested_txns_share_what_the_outer_one_leaves() -> None:
    check_txn(TxnRequest(success=[*ops(99), txn_op(*ops(28))]))
    with pytest.raises(TooManyOpsError):
        check_txn(TxnRequest(success=[*ops(99), txn_op(*ops(29))]))
    # Beside each other they do not count together.
    check_txn(TxnRequest(success=[*ops(98), txn_op(*ops(28)), txn_op(*ops(28))]))


DUPLICATES = {
    "put twice": [put_op(b"x"), put_op(b"x")],
    "deleted, then put": [delete_op(b"x"), put_op(b"x")],
    "put, then deleted": [put_op(b"x"), delete_op(b"x")],
    "put inside of a deleted range": [put_op(b"x"), delete_op(b"a", b"z")],
    "put by a nested txn and outside": [txn_op(put_op(b"x")), put_op(b"x")],
    "put by two nested txns": [txn_op(put_op(b"x")), txn_op(failure=[put_op(b"x")])],
    "put by a nested txn, deleted outside": [txn_op(put_op(b"x")), delete_op(b"x")],
    "deleted by a nested txn, put outside": [put_op(b"x"), txn_op(delete_op(b"x"))],
    "deleted by a nested txn, put by a later one": [
        txn_op(delete_op(b"x")),
        txn_op(put_op(b"x")),
    ],
    "deep down": [txn_op(txn_op(put_op(b"x"), put_op(b"x")))],
}

NO_DUPLICATES = {
    "deleted twice": [delete_op(b"x"), delete_op(b"a", b"z")],
    "beside a deleted range": [put_op(b"z"), delete_op(b"a", b"z"), put_op(b"Z")],
    "either branch of a nested txn": [txn_op(put_op(b"x"), failure=[put_op(b"x")])],
    "put or deleted by the branches": [txn_op(put_op(b"x"), failure=[delete_op(b"x")])],
    "quirk: deleted from a key on": [put_op(b"x"), delete_op(b"a", FROM_KEY)],
    "quirk: put by a nested txn, deleted by a later one": [
        txn_op(put_op(b"x")),
        txn_op(delete_op(b"x")),
    ],
    "an inverted range": [put_op(b"b"), delete_op(b"c", b"a")],
}


@pytest.mark.parametrize("operations", DUPLICATES.values(), ids=DUPLICATES)
def test_two_changes_of_a_key_in_one_branch_are_refused(operations: list[RequestOp]) -> None:
    for request in (TxnRequest(success=operations), TxnRequest(failure=operations)):
        with pytest.raises(DuplicateKeyError):
            check_txn(request)


@pytest.mark.parametrize("operations", NO_DUPLICATES.values(), ids=NO_DUPLICATES)
def test_what_changes_no_key_twice_passes(operations: list[RequestOp]) -> None:
    check_txn(TxnRequest(success=operations))


def test_the_success_and_failure_of_a_txn_may_change_the_same_key() -> None:
    check_txn(TxnRequest(success=[put_op(b"x")], failure=[put_op(b"x")]))


def test_checks_raise_errors_of_requests_alone() -> None:
    assert all(
        issubclass(error, RequestError)
        for error in (EmptyKeyError, DuplicateKeyError, TooManyOpsError, KeyNotFoundError)
    )
