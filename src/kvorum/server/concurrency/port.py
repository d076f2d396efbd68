"""What locks and elections need of the member, and a few of its reads in short."""

from __future__ import annotations

from typing import Any, Protocol

from kvorum.proto.kv_pb2 import KeyValue
from kvorum.proto.rpc_pb2 import RangeRequest, RangeResponse, ResponseHeader, TxnRequest
from kvorum.proto.wire import delimited
from kvorum.server.ports import KeyValuePort, LeasePort, Response, WatchPort


class ConcurrencyPort(KeyValuePort, LeasePort, WatchPort, Protocol):
    """The ports that this package stands on."""

    def header(self) -> bytes:
        """Field 1 (ResponseHeader) of a response at the current revision, encoded."""
        ...

    async def wait_linearizable(self) -> None:
        """Return when this member has applied everything that was committed before the call."""
        ...


async def settled(response: Response) -> bytes:
    """The bytes of a response, whether they are there or still to come."""
    return response if isinstance(response, bytes) else await response


def send_txn(server: ConcurrencyPort, request: TxnRequest) -> Response:
    return server.txn(request, request.SerializeToString())


def local_range(server: ConcurrencyPort, **fields: Any) -> RangeResponse:
    """Read the keys as this member has them now."""
    response = server.range(RangeRequest(serializable=True, **fields))
    assert isinstance(response, bytes), "a serializable read does not wait"
    return RangeResponse.FromString(response)


async def first_created(server: ConcurrencyPort, prefix: bytes) -> RangeResponse:
    """The key below `prefix` that was created first, if there is one. Linearizable."""
    request = RangeRequest(
        key=prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_target=RangeRequest.CREATE,
        sort_order=RangeRequest.ASCEND,
    )
    return RangeResponse.FromString(await settled(server.range(request)))


def key_of(server: ConcurrencyPort, key: bytes) -> KeyValue | None:
    """A key as this member has it now."""
    found = local_range(server, key=key).kvs
    return found[0] if found else None


def prefix_of(name: bytes) -> bytes:
    """Below it are the keys of all who want the lock, or stand in the election, `name`."""
    return name + b"/"


def prefix_end(prefix: bytes) -> bytes:
    """`range_end` for all keys below a prefix, which ends with `/`."""
    assert prefix.endswith(b"/"), prefix
    return prefix[:-1] + b"0"


def header_field(header: ResponseHeader) -> bytes:
    """Field 1 of a response, encoded."""
    return delimited(b"\x0a", header.SerializeToString())
