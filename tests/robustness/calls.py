"""The calls of etcd that these tests make, over grpcio, with no cleverness in between.

No retries and no failover: a test sees the status the server sent. The messages are Kvorum's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import grpc

from kvorum.proto import rpc_pb2 as rpc

DEADLINE_S = 10.0
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that was killed is soon back; the default waits a second and more.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Channels to one target share their connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
)

Status = tuple[int, str]


class Calls:
    """One connection to one server."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target, options=_OPTIONS)
        self.put_call = self._unary("KV/Put", rpc.PutRequest, rpc.PutResponse)
        self.range_call = self._unary("KV/Range", rpc.RangeRequest, rpc.RangeResponse)
        self.delete_call = self._unary(
            "KV/DeleteRange", rpc.DeleteRangeRequest, rpc.DeleteRangeResponse
        )
        self.txn_call = self._unary("KV/Txn", rpc.TxnRequest, rpc.TxnResponse)
        self.compact_call = self._unary("KV/Compact", rpc.CompactionRequest, rpc.CompactionResponse)
        self.grant_call = self._unary(
            "Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse
        )
        self.revoke_call = self._unary(
            "Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse
        )
        self.status_call = self._unary("Maintenance/Status", rpc.StatusRequest, rpc.StatusResponse)
        self.hash_kv_call = self._unary("Maintenance/HashKV", rpc.HashKVRequest, rpc.HashKVResponse)
        self.move_leader_call = self._unary(
            "Maintenance/MoveLeader", rpc.MoveLeaderRequest, rpc.MoveLeaderResponse
        )
        self.member_add_call = self._unary(
            "Cluster/MemberAdd", rpc.MemberAddRequest, rpc.MemberAddResponse
        )
        self.watch_call = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=rpc.WatchRequest.SerializeToString,
            response_deserializer=rpc.WatchResponse.FromString,
        )

    def __enter__(self) -> Calls:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.channel.close()

    def _unary(self, method: str, request: Any, response: Any) -> Any:
        return self.channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def put(self, key: bytes, value: bytes = b"", **fields: Any) -> Any:
        request = rpc.PutRequest(key=key, value=value, **fields)
        return self.put_call(request, timeout=DEADLINE_S)

    def put_async(self, key: bytes, value: bytes = b"") -> Any:
        """As `put`, without waiting: a future of gRPC."""
        return self.put_call.future(rpc.PutRequest(key=key, value=value), timeout=DEADLINE_S)

    def get(self, key: bytes, range_end: bytes = b"", **fields: Any) -> Any:
        request = rpc.RangeRequest(key=key, range_end=range_end, **fields)
        return self.range_call(request, timeout=DEADLINE_S)

    def compact(self, revision: int) -> Any:
        return self.compact_call(rpc.CompactionRequest(revision=revision), timeout=DEADLINE_S)

    def revision(self) -> int:
        """The newest revision, by a linearizable read."""
        return int(self.get(b"\0", count_only=True).header.revision)

    def watch(self, request: Any, timeout_s: float = DEADLINE_S) -> Iterator[Any]:
        """A watch stream with one create request; stays open for `timeout_s`."""
        create = rpc.WatchRequest(create_request=request)
        responses: Iterator[Any] = self.watch_call(iter([create]), timeout=timeout_s)
        return responses


def status_of(error: grpc.RpcError) -> Status:
    """gRPC code and message of a failed call."""
    return int(error.code().value[0]), str(error.details())
