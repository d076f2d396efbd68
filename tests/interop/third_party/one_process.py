"""Kvorum's messages and another client's generated messages, in one process, in either order.

Both define the packages etcdserverpb and mvccpb. In one descriptor pool the second to come would be
refused ("duplicate symbol"); Kvorum's are in a pool of their own.

    python -m tests.interop.third_party.one_process etcd3 kvorum-first
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

THEIR_MESSAGES = {"etcd3": "etcd3.etcdrpc", "aetcd": "aetcd.rpc.rpc_pb2"}


def our_messages() -> Any:
    return importlib.import_module("kvorum.proto.rpc_pb2")


def check_same_bytes(ours: Any, theirs: Any) -> None:
    assert ours.PutRequest is not theirs.PutRequest
    fields = {"key": b"k", "value": b"v", "lease": 7, "prev_kv": True}
    encoded = ours.PutRequest(**fields).SerializeToString()
    assert encoded == theirs.PutRequest(**fields).SerializeToString()
    assert theirs.PutRequest.FromString(encoded).lease == 7
    answer = ours.RangeResponse(count=1)
    answer.kvs.add(key=b"k", mod_revision=5)
    assert theirs.RangeResponse.FromString(answer.SerializeToString()).kvs[0].mod_revision == 5


if __name__ == "__main__":
    library, order = sys.argv[1:]
    if order == "kvorum-first":
        own = our_messages()
        other = importlib.import_module(THEIR_MESSAGES[library])
    else:
        other = importlib.import_module(THEIR_MESSAGES[library])
        own = our_messages()
    check_same_bytes(own, other)
    print("passed", order)
