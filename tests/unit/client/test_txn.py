from __future__ import annotations

import pytest

from kvorum.client import (
    Client,
    compare_create,
    compare_lease,
    compare_mod,
    compare_value,
    compare_version,
    op_delete,
    op_get,
    op_put,
)
from kvorum.client.methods import TXN
from kvorum.client.txn import RELATIONS, Relation
from kvorum.proto.rpc_pb2 import Compare, TxnRequest, TxnResponse
from tests.unit.client.fakes import FakeMember, serving


@pytest.mark.parametrize("relation", RELATIONS)
def test_each_comparison_sets_its_target_and_its_field(relation: Relation) -> None:
    result = RELATIONS[relation]
    expected = [
        (compare_version(b"k", relation, 3), Compare.VERSION, {"version": 3}),
        (compare_create(b"k", relation, 3), Compare.CREATE, {"create_revision": 3}),
        (compare_mod(b"k", relation, 3), Compare.MOD, {"mod_revision": 3}),
        (compare_value(b"k", relation, b"v"), Compare.VALUE, {"value": b"v"}),
        (compare_lease(b"k", relation, 3), Compare.LEASE, {"lease": 3}),
    ]
    for made, target, value in expected:
        assert made == Compare(result=result, target=target, key=b"k", **value)


def test_a_comparison_with_zero_is_sent_and_not_left_out() -> None:
    assert compare_version(b"k", "=", 0).HasField("version")
    assert compare_value(b"k", "=", b"").HasField("value")


async def test_a_transaction_is_sent_as_it_was_built() -> None:
    seen: list[TxnRequest] = []

    async def txn(request: TxnRequest, context: object) -> TxnResponse:
        seen.append(request)
        return TxnResponse(succeeded=True)

    member = FakeMember()
    member.unary[TXN.path] = txn
    async with serving(member), Client([member.endpoint]) as client:
        response = await (
            client.kv.txn()
            .when(compare_version(b"k", "=", 0))
            .then(op_put(b"k", b"v", lease=7, prev_kv=True), op_get(b"a", b"b", limit=2))
            .orelse(op_delete(b"k", prev_kv=True))
            .commit()
        )
    assert response.succeeded
    (request,) = seen
    assert [op.WhichOneof("request") for op in request.success] == ["request_put", "request_range"]
    assert request.success[0].request_put.lease == 7
    assert request.failure[0].request_delete_range.prev_kv
