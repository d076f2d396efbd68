"""Requests to a peer port whose answers must be those of stock etcd.

A row is sent to a member of each kind. In texts, `{cluster}` is the cluster's id, `{self}` the id
of the member that is asked, `{other}` another member's, `{gone}` one that was removed, all in hex;
`{other_decimal}` and `{self_decimal}` in decimal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kvorum.peer.buffer import block_of
from kvorum.proto.lease_pb2 import LeaseInternalRequest
from kvorum.proto.raftpb import Message, MessageType, Snapshot, SnapshotMetadata
from kvorum.proto.rpc_pb2 import LeaseKeepAliveRequest, LeaseTimeToLiveRequest

NOBODY = 0x1234
SENDER = {
    "X-Server-From": "{other}",
    "X-Server-Version": "{version}",
    "X-Min-Cluster-Version": "3.0.0",
    "X-Etcd-Cluster-ID": "{cluster}",
}
STREAM = {**SENDER, "X-Raft-To": "{self}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request; `body` may be made from the ids of the members."""

    method: str = "GET"
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    message: Message | None = None
    """Sent instead of `body`; `from_` 1 stands for the other, 2 for the removed, 3 for nobody; `to`
    1 for the member that is asked."""
    framed: bool = False
    """The message is the head of a snapshot."""
    endless: bool = False
    """Only the head of the answer is looked at."""
    to_leader: bool = False
    """Asked of members that are clusters of their own, as only a leader knows the answer."""


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


def heartbeat(from_: int = 1, to: int = 1) -> Message:
    """A message that changes nothing: its term is long gone."""
    return Message(MessageType.HEARTBEAT_RESP, to, from_, 0)


def snapshot(index: int = 1) -> Message:
    return Message(
        MessageType.SNAP, 1, 1, 1, snapshot=Snapshot(b"{}", SnapshotMetadata(index=index, term=1))
    )


RAFT = [
    Row(method="POST", path="/raft", headers=SENDER, message=heartbeat()),
    Row(method="POST", path="/raft", headers=SENDER, message=heartbeat(from_=3)),
    Row(method="POST", path="/raft", headers=SENDER, message=heartbeat(to=3)),
    Row(method="POST", path="/raft", headers=SENDER, body=b"\xff\xff\xff"),
    Row(method="POST", path="/raft", headers=SENDER, body=b"\x0a"),
    Row(method="GET", path="/raft", headers=SENDER),
    Row(method="HEAD", path="/raft", headers=SENDER),
    Row(method="PUT", path="/raft", headers=SENDER, body=b"x"),
    Row(method="POST", path="/raft", message=heartbeat()),
    Row(
        method="POST",
        path="/raft",
        headers=without(SENDER, "X-Server-Version"),
        message=heartbeat(),
    ),
    Row(
        method="POST",
        path="/raft",
        headers=without(SENDER, "X-Min-Cluster-Version"),
        message=heartbeat(),
    ),
    Row(
        method="POST",
        path="/raft",
        headers=without(SENDER, "X-Etcd-Cluster-ID"),
        message=heartbeat(),
    ),
    Row(
        method="POST",
        path="/raft",
        headers={**SENDER, "X-Etcd-Cluster-ID": "beef"},
        message=heartbeat(),
    ),
    Row(
        method="POST",
        path="/raft",
        headers={**SENDER, "X-Server-Version": "2.3.0"},
        message=heartbeat(),
    ),
    Row(
        method="POST",
        path="/raft",
        headers={**SENDER, "X-Min-Cluster-Version": "9.0.0"},
        message=heartbeat(),
    ),
    Row(
        method="POST",
        path="/raft",
        headers={**SENDER, "X-Server-Version": "9.0.0"},
        message=heartbeat(),
    ),
    Row(
        method="POST",
        path="/raft",
        headers={key.lower(): value for key, value in SENDER.items()},
        message=heartbeat(),
    ),
    Row(method="POST", path="/raft?x=1", headers=SENDER, message=heartbeat()),
    Row(method="POST", path="/raft/", headers=SENDER, message=heartbeat()),
    Row(method="GET", path="/raft/probing", endless=True),
    Row(method="POST", path="/raft/probing", endless=True),
    Row(method="GET", path="/raft/probing", headers={"X-Etcd-Cluster-ID": "beef"}, endless=True),
    Row(path="/raft/unknown", headers=SENDER),
]

STREAMS = [
    Row(path="/raft/stream/{kind}/{other}", headers=STREAM, endless=True),
    Row(path="/raft/stream/{kind}/{other}", headers=without(STREAM, "X-Raft-To")),
    Row(path="/raft/stream/{kind}/{other}", headers={**STREAM, "X-Raft-To": "{other}"}),
    Row(path="/raft/stream/{kind}/{gone}", headers=STREAM),
    Row(path="/raft/stream/{kind}/1234", headers=STREAM),
    Row(path="/raft/stream/{kind}/xyz", headers=STREAM),
    Row(path="/raft/stream/{kind}/", headers=STREAM),
    Row(path="/raft/stream/{kind}", headers=STREAM),
    Row(path="/raft/stream/{kind}/0x12", headers=STREAM),
    Row(path="/raft/stream/{kind}/+12", headers=STREAM),
    Row(path="/raft/stream/{kind}/1_2", headers=STREAM),
    Row(path="/raft/stream/{kind}/{other}0000000000000000", headers=STREAM),
    Row(method="POST", path="/raft/stream/{kind}/{other}", headers=STREAM),
    Row(method="HEAD", path="/raft/stream/{kind}/{other}", headers=STREAM),
    Row(path="/raft/stream/{kind}/{other}", headers={**STREAM, "X-Etcd-Cluster-ID": "beef"}),
    Row(path="/raft/stream/{kind}/{other}", headers={**STREAM, "X-Min-Cluster-Version": "9.0.0"}),
]
STREAM_KINDS = ("message", "msgapp", "msgappv3")
OTHER_STREAMS = [
    Row(path="/raft/stream/", headers=STREAM),
    Row(path="/raft/stream/{other}", headers=STREAM),
]

SNAPSHOTS = [
    Row(method="GET", path="/raft/snapshot", headers=SENDER),
    Row(method="POST", path="/raft/snapshot", headers=SENDER),
    Row(method="POST", path="/raft/snapshot", headers=SENDER, body=b"\0\0\0"),
    Row(method="POST", path="/raft/snapshot", headers=SENDER, body=b"\0" * 7 + b"\x09abc"),
    Row(method="POST", path="/raft/snapshot", headers=SENDER, body=block_of(b"\xff\xff\xff")),
    Row(method="POST", path="/raft/snapshot", headers=SENDER, body=b"\xff" * 8),
    Row(method="POST", path="/raft/snapshot", headers=SENDER, message=heartbeat(), framed=True),
    Row(method="POST", path="/raft/snapshot", headers=without(SENDER, "X-Etcd-Cluster-ID")),
]

INFORMATION = [
    Row(path="/members"),
    Row(path="/members", headers={"X-Etcd-Cluster-ID": "beef"}),
    Row(method="POST", path="/members"),
    Row(method="HEAD", path="/members"),
    Row(path="/members/"),
    Row(path="/members/1"),
    Row(path="/version"),
    Row(method="POST", path="/version"),
    Row(method="POST", path="/members/promote/{self_decimal}"),
    Row(method="POST", path="/members/promote/4660"),
    Row(method="POST", path="/members/promote/x"),
    Row(method="POST", path="/members/promote/"),
    Row(method="GET", path="/members/promote/{other_decimal}"),
    Row(path="/members/hashkv", body=b'{"revision":0}'),
    Row(path="/members/hashkv", body=b'{"revision":2}'),
    Row(path="/members/hashkv", body=b"{}"),
    Row(path="/members/hashkv", body=b""),
    Row(path="/members/hashkv", body=b"nonsense"),
    Row(path="/members/hashkv", body=b'{"revision":"x"}'),
    Row(method="POST", path="/members/hashkv", body=b'{"revision":0}'),
    Row(path="/members/hashkv/x", body=b'{"revision":0}'),
    Row(method="GET", path="/leases"),
    Row(
        method="POST",
        path="/leases",
        body=LeaseKeepAliveRequest(ID=77).SerializeToString(),
        to_leader=True,
    ),
    Row(method="POST", path="/leases", body=b"\xff\xff"),
    Row(method="GET", path="/leases/internal"),
    Row(
        method="POST",
        path="/leases/internal",
        body=LeaseInternalRequest(
            LeaseTimeToLiveRequest=LeaseTimeToLiveRequest(ID=77)
        ).SerializeToString(),
        to_leader=True,
    ),
    Row(method="POST", path="/leases/internal", body=b"\xff\xff"),
    Row(path="/leases/x"),
    Row(path="/downgrade/enabled"),
    Row(method="POST", path="/downgrade/enabled"),
    Row(path="/"),
    Row(path="/health"),
    Row(path="/metrics"),
    Row(path="/v2/keys"),
]

SINCE_35 = [Row(path="/members/hashkv", body=b'{"revision":999}')]
"""Stock 3.4.23 answers none of these: its handler ends the connection."""

SHARED = [*RAFT, *STREAMS, *OTHER_STREAMS, *SNAPSHOTS, *INFORMATION]
