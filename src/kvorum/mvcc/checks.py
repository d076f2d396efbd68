"""Checks of requests that need no look at the data; made before anything is proposed.

What is refused here never reaches the log. The order of the checks is stock's, since a request can
break more than one.

Source: shared facts, client.md section 6; order and quirks as stock 3.5.1 and 3.4.23 answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.errors import (
    DuplicateKeyError,
    EmptyKeyError,
    InvalidSortOptionError,
    KeyNotFoundError,
    LeaseProvidedError,
    TooManyOpsError,
    ValueProvidedError,
)
from kvorum.mvcc.intervals import IntervalSet
from kvorum.mvcc.rules import V3_6, Rules
from kvorum.proto.rpc_pb2 import (
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)

MAX_TXN_OPS_DEFAULT = 128
"""Source: etcd --max-txn-ops."""

_SORT_ORDERS = range(3)
_SORT_TARGETS = range(5)

# The range_end of "every key from here on".
_FROM_KEY = b"\0"


def check_range(request: RangeRequest, rules: Rules = V3_6) -> None:
    """Refuse a range without a key, or (from 3.6 on) with an unknown way to sort.

    Raises:
        EmptyKeyError, InvalidSortOptionError
    """
    if not request.key:
        raise EmptyKeyError
    if rules.check_sort_options and (
        request.sort_order not in _SORT_ORDERS or request.sort_target not in _SORT_TARGETS
    ):
        raise InvalidSortOptionError


def check_put(request: PutRequest) -> None:
    """Refuse a put without a key, or with what it says to ignore.

    Raises:
        EmptyKeyError, ValueProvidedError, LeaseProvidedError
    """
    if not request.key:
        raise EmptyKeyError
    if request.ignore_value and request.value:
        raise ValueProvidedError
    if request.ignore_lease and request.lease:
        raise LeaseProvidedError


def check_delete_range(request: DeleteRangeRequest) -> None:
    """Refuse a deletion without a key.

    Raises:
        EmptyKeyError
    """
    if not request.key:
        raise EmptyKeyError


def check_txn(request: TxnRequest, rules: Rules = V3_6, max_ops: int = MAX_TXN_OPS_DEFAULT) -> bool:
    """Refuse a transaction with a bad operation, too many, or two changes of one key.

    Args:
        request: the transaction, others nested in it.
        rules: which sort options are checked.
        max_ops: bound on its longest list (compares, success, failure). What that leaves is the
            bound of the transactions nested in it.

    Returns:
        Whether it has to go through the log: it has anything but ranges. One that only nests
        others counts as one that writes, as in stock.

    Raises:
        TooManyOpsError, EmptyKeyError, KeyNotFoundError (an operation that is none),
        DuplicateKeyError, and what the checks of the operations raise.
    """
    writes = _check_operations(request, rules, max_ops)
    if writes:
        for branch in (request.success, request.failure):
            # One operation by itself changes no key twice; kube-apiserver's have no more.
            if len(branch) > 1 or (branch and branch[0].HasField("request_txn")):
                _changes_of(branch)
    return writes


def _check_operations(request: TxnRequest, rules: Rules, max_ops: int) -> bool:
    compares, success, failure = request.compare, request.success, request.failure
    count = max(len(compares), len(success), len(failure))
    if count > max_ops:
        raise TooManyOpsError
    for compare in compares:
        if not compare.key:
            raise EmptyKeyError
    writes = False
    for branch in (success, failure):
        for operation in branch:
            kind = operation.WhichOneof("request")
            if kind == "request_range":
                check_range(operation.request_range, rules)
                continue
            writes = True
            if kind == "request_put":
                check_put(operation.request_put)
            elif kind == "request_delete_range":
                check_delete_range(operation.request_delete_range)
            elif kind == "request_txn":
                _check_operations(operation.request_txn, rules, max_ops - count)
            else:
                raise KeyNotFoundError
    return writes


def _changes_of(operations: Sequence[RequestOp]) -> tuple[set[bytes], IntervalSet]:
    """Keys put and intervals deleted by one branch, transactions nested in it included.

    Raises:
        DuplicateKeyError: a key is put twice, or put and deleted.

    Two quirks are stock's, and clients may rely on what they let pass: a deletion of every key
    from one on (`range_end` of one zero byte) counts as deleting nothing, and what one nested
    transaction puts is not held against what a later one beside it deletes.
    """
    deleted = IntervalSet()
    for operation in operations:
        if operation.HasField("request_delete_range"):
            deletion = operation.request_delete_range
            if deletion.range_end != _FROM_KEY:
                deleted.add(deletion.key, deletion.range_end or deletion.key + b"\0")
    put: set[bytes] = set()
    for operation in operations:
        if operation.HasField("request_txn"):
            _add_nested(operation.request_txn, put, deleted)
    for operation in operations:
        if operation.HasField("request_put"):
            key = operation.request_put.key
            if key in put or key in deleted:
                raise DuplicateKeyError
            put.add(key)
    return put, deleted


def _add_nested(request: TxnRequest, put: set[bytes], deleted: IntervalSet) -> None:
    """Add what a nested transaction may change to what its branch does before it."""
    put_then, deleted_then = _changes_of(request.success)
    put_else, deleted_else = _changes_of(request.failure)
    # Only one of its two branches runs, so both may change the same keys.
    both = put_then | put_else
    if not put.isdisjoint(both) or (deleted and any(key in deleted for key in both)):
        raise DuplicateKeyError
    put |= both
    deleted.add_all(deleted_then)
    deleted.add_all(deleted_else)
