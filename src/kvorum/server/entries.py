"""What a log entry holds: an `InternalRaftRequest`, built around a client's bytes.

A request's bytes go into the entry as they came: the entry is the field's tag and length, the
bytes, and a header with the request's id. Nothing is encoded again.

Source: shared facts, peer.md section 7 (field numbers) and disk.md section 2 ("Entry payloads").
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.errors import DecodeError
from kvorum.proto.etcdserver_pb2 import Request as V2Request
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.wire import varint

PUT: Final = b"\x22"
DELETE_RANGE: Final = b"\x2a"
TXN: Final = b"\x32"
COMPACTION: Final = b"\x3a"
LEASE_GRANT: Final = b"\x42"
LEASE_REVOKE: Final = b"\x4a"
ALARM: Final = b"\x52"
LEASE_CHECKPOINT: Final = b"\x5a"
CLUSTER_VERSION_SET: Final = varint(1300 << 3 | 2)
CLUSTER_MEMBER_ATTR_SET: Final = varint(1301 << 3 | 2)
DOWNGRADE_INFO_SET: Final = varint(1302 << 3 | 2)

_HEADER: Final = varint(100 << 3 | 2)


def encode(tag: bytes, request: bytes, request_id: int) -> bytes:
    """The data of an entry.

    Args:
        tag: the request's field in InternalRaftRequest: one of the constants above.
        request: the encoded request.
        request_id: unique among all members; tells the proposer that the entry is its own.
    """
    number = varint(request_id)
    return b"%b%b%b%b%b\x08%b" % (
        tag,
        varint(len(request)),
        request,
        _HEADER,
        _ONE_BYTE[len(number) + 1],
        number,
    )


_ONE_BYTE: Final = [bytes((n,)) for n in range(16)]


def decode(data: bytes) -> InternalRaftRequest | V2Request:
    """The request in an entry's data.

    A v2 request is one that members up to 3.5 write bare; it is known by not being an
    InternalRaftRequest.

    Raises:
        DecodeError: it is neither.
    """
    try:
        return InternalRaftRequest.FromString(data)
    except ProtobufDecodeError:
        pass
    try:
        return V2Request.FromString(data)
    except ProtobufDecodeError as error:
        raise DecodeError(f"an entry of {len(data)} bytes is no request: {error}") from error
