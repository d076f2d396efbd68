"""A log read from one end to the other, summed up: what `verify` compares with the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError as ProtobufDecodeError

from kvorum.errors import DecodeError
from kvorum.proto.etcdserver_pb2 import Metadata
from kvorum.proto.raftpb import ConfChange, Entry, EntryType, HardState
from kvorum.wal import WalSnapshot
from kvorum.wal.reader import ADVICE, read_segments
from kvorum.wal.records import ENTRY, METADATA, SNAPSHOT, STATE
from kvorum.wal.segments import all_segments


@dataclass(slots=True)
class LogSummary:
    """What a log says of itself. Built by `take`, record by record."""

    path: Path
    first_index: int = 0
    """No entry below this one is in the segments that are there."""
    last_index: int = 0
    """Index of the newest entry or snapshot."""
    metadata: Metadata = field(default_factory=Metadata)
    state: HardState = field(default_factory=HardState)
    snapshots: list[WalSnapshot] = field(default_factory=list)
    added_members: set[int] = field(default_factory=set)
    _written: bytes | None = None
    _is_first: bool = True

    def take(self, kind: int, data: bytes) -> None:
        """See `kvorum.wal.reader.Take`."""
        if kind == ENTRY:
            self._take_entry(Entry.decode(data))
        elif kind == STATE:
            self.state = HardState.decode(data)
        elif kind == SNAPSHOT:
            snapshot = WalSnapshot.decode(data)
            self.snapshots.append(snapshot)
            # Behind a leader's snapshot the log goes on from there.
            self.last_index = max(self.last_index, snapshot.index)
        elif kind == METADATA:
            self._take_metadata(data)

    def _take_entry(self, entry: Entry) -> None:
        if entry.index > self.last_index + 1 and not self._is_first:
            raise DecodeError(
                f"wal: slice bounds out of range: entry {entry.index} follows {self.last_index}"
            )
        self._is_first = False
        self.last_index = entry.index
        if entry.type == EntryType.CONF_CHANGE and entry.data:
            self.added_members.add(ConfChange.decode(entry.data).node_id)

    def _take_metadata(self, data: bytes) -> None:
        if self._written is not None and self._written != data:
            raise DecodeError("wal: conflicting metadata found")
        self._written = data
        try:
            self.metadata = Metadata.FromString(data)
        except ProtobufDecodeError as error:
            raise DecodeError(f"the metadata record cannot be read: {error}") from None


def summarize_log(directory: Path) -> LogSummary:
    """Read all segments of a log.

    A torn write at its end is no damage: it was never acknowledged, and a start cuts it off.

    Raises:
        CorruptionError: the log is damaged, or a segment is missing.
    """
    segments = all_segments(directory, ADVICE)
    summary = LogSummary(directory, first_index=segments[0].first_index)
    read_segments(segments, summary.take)
    return summary
