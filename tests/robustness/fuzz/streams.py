"""The readers of the streams between members under test, and of a snapshot's beginning."""

from __future__ import annotations

from pathlib import Path
from random import Random

from kvorum.errors import DecodeError
from kvorum.peer.messages import MessageDecoder, MessageEncoder
from kvorum.peer.msgapp import MsgAppDecoder, MsgAppEncoder
from kvorum.peer.snapshots import SnapshotReceiver
from kvorum.proto.raftpb import ConfState, Entry, Message, MessageType, Snapshot, SnapshotMetadata
from tests.robustness.fuzz.harness import damage_bytes, interesting, masked

KINDS = (b"m", b"a", b"s")
"""First byte of an input: message stream, msgapp stream, snapshot."""
PIECE_BYTES_MAX = 200


class StreamTarget:
    """One stream, fed in pieces of all sizes."""

    name = "streams"

    def seeds(self) -> list[bytes]:
        entries = [Entry(0, 2, 5 + n, b"x" * n) for n in range(5)]
        snapshot = Snapshot(b"{}", SnapshotMetadata(ConfState([1, 2]), 9, 2))
        messages = [
            Message(MessageType.HEARTBEAT),
            Message(MessageType.APP, 1, 2, 2, 1, 4, entries, 3),
            Message(MessageType.APP, 1, 2, 2, 2, 9, [Entry(0, 2, 10, b"y")], 9),
            Message(MessageType.APP, 1, 2, 2, 2, 10, [], 10),
            Message(MessageType.READ_INDEX, 1, 2, entries=[Entry(data=b"12345678")]),
            Message(MessageType.SNAP, 1, 2, 3, snapshot=snapshot),
        ]
        plain, app = MessageEncoder(legacy=True), MsgAppEncoder(legacy=False)
        appended = [one for one in messages if one.type == MessageType.APP]
        return [
            b"m" + b"".join(map(plain.encode, messages)),
            b"a" + app.heartbeat() + b"".join(map(app.encode, appended)),
            b"s" + plain.encode(messages[-1]) + b"the database" * 20,
        ]

    def mutate(self, data: bytes, other: bytes, rng: Random) -> bytes:
        whole = bytearray(data[1:])
        if rng.randrange(4) == 0:
            cut = rng.randrange(len(whole) + 1)
            whole = whole[:cut] + other[1 + rng.randrange(len(other)) :]
        for _ in range(rng.choice((1, 1, 2, 4))):
            if rng.randrange(2) or len(whole) < 8:
                damage_bytes(whole, rng)
            else:
                at = rng.randrange(len(whole) - 7)
                number = interesting(rng, (len(whole), 1, 2), 64)
                whole[at : at + 8] = number.to_bytes(8, "big")
        return rng.choice((data[:1], data[:1], *KINDS)) + bytes(whole[:20_000])

    def run(self, data: bytes, scratch: Path) -> str:
        try:
            return self._read(data, scratch)
        except DecodeError as error:
            return f"refused: {masked(str(error), scratch)}"

    def _read(self, data: bytes, scratch: Path) -> str:
        rng = Random(len(data))
        receiver = SnapshotReceiver(str(scratch)) if data[:1] == b"s" else None
        decoder = MessageDecoder() if data[:1] == b"m" else MsgAppDecoder(remote=2, local=1)
        try:
            at = 1
            while at < len(data):
                size = rng.randrange(1, PIECE_BYTES_MAX)
                piece, at = data[at : at + size], at + size
                if receiver is not None:
                    receiver.feed(piece)
                else:
                    decoder.feed(piece)
            if receiver is not None:
                receiver.check_complete()
        finally:
            if receiver is not None:
                receiver.discard()
        assert not any(scratch.glob("tmp*")), "a file was left"
        return "sound"
