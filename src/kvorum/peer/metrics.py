"""What goes between members, counted under etcd's names.

The numbers of a peer end when it is removed: they are kept with the ways to it.

Source: `/metrics` of stock 3.5.1 and 3.6.16 in clusters of three.
"""

from __future__ import annotations

from collections import Counter

from kvorum.cluster.ids import hex_id
from kvorum.histogram import Histogram
from kvorum.peer.reading import StreamKind
from kvorum.peer.transport import PeerTransport
from kvorum.peer.writing import StreamWriter
from kvorum.server.metrics.families import TRANSFER_SECONDS
from kvorum.server.metrics.family import Values


class PeerFigures:
    """What is counted where requests of other members come in; keys are their ids.

    Attributes:
        posted_bytes: of messages that came by POST.
        received_snapshots: how long they took.
        refused_snapshots: those that came whole and could not be used.
    """

    def __init__(self) -> None:
        self.posted_bytes: Counter[int] = Counter()
        self.received_snapshots: dict[int, Histogram] = {}
        self.refused_snapshots: Counter[int] = Counter()
        self._writers: dict[tuple[int, StreamKind], StreamWriter] = {}
        self._sent_before: Counter[int] = Counter()
        """By streams that others have taken the place of."""

    def stream_opened(self, peer_id: int, kind: StreamKind, writer: StreamWriter) -> None:
        older = self._writers.get((peer_id, kind))
        if older is not None:
            self._sent_before[peer_id] += older.sent_bytes
        self._writers[peer_id, kind] = writer

    def snapshot_received(self, peer_id: int, took_s: float) -> None:
        times = self.received_snapshots.setdefault(peer_id, Histogram(TRANSFER_SECONDS))
        times.observe(took_s)

    def sent_bytes(self, peer_id: int) -> int:
        """By streams, to one peer."""
        writers = (self._writers.get((peer_id, kind)) for kind in StreamKind)
        return self._sent_before[peer_id] + sum(one.sent_bytes for one in writers if one)


def peer_values(transport: PeerTransport, figures: PeerFigures) -> Values:
    """The values of `etcd_network_*` but for those of clients."""
    own = hex_id(transport.options.member_id)
    peers = {hex_id(peer.id): peer for peer in transport.peers()}
    sending = {
        to: peer
        for to, peer in peers.items()
        if any(peer.snapshots_s.counts) or peer.snapshot_failures or peer.snapshots_under_way
    }
    return {
        "etcd_network_known_peers": {(own, other): 1 for other in (own, *peers)},
        "etcd_network_active_peers": {
            (own, other): int(peer.is_active) for other, peer in peers.items()
        },
        "etcd_network_disconnected_peers_total": {
            (own, other): peer.disconnects for other, peer in peers.items() if peer.disconnects
        },
        "etcd_network_peer_sent_bytes_total": {
            (to,): peer.pipeline.sent_bytes + figures.sent_bytes(peer.id)
            for to, peer in peers.items()
        },
        "etcd_network_peer_received_bytes_total": {
            (from_,): peer.received_bytes + figures.posted_bytes[peer.id]
            for from_, peer in peers.items()
        },
        "etcd_network_peer_sent_failures_total": {
            (to,): peer.failures for to, peer in peers.items() if peer.failures
        },
        "etcd_network_peer_round_trip_time_seconds": {
            (to,): peer.prober.round_trips_s for to, peer in peers.items()
        },
        "etcd_network_snapshot_send_success": {
            (to,): sum(peer.snapshots_s.counts) for to, peer in sending.items()
        },
        "etcd_network_snapshot_send_total_duration_seconds": {
            (to,): peer.snapshots_s for to, peer in sending.items()
        },
        "etcd_network_snapshot_send_failures": {
            (to,): peer.snapshot_failures for to, peer in sending.items()
        },
        "etcd_network_snapshot_send_inflights_total": {
            (to,): peer.snapshots_under_way for to, peer in sending.items()
        },
        **_received_snapshots(figures),
    }


def _received_snapshots(figures: PeerFigures) -> Values:
    times, refused = figures.received_snapshots, figures.refused_snapshots
    return {
        "etcd_network_snapshot_receive_success": {
            (hex_id(peer_id),): sum(taken.counts) for peer_id, taken in times.items()
        },
        "etcd_network_snapshot_receive_failures": {
            (hex_id(peer_id),): count for peer_id, count in refused.items()
        },
        "etcd_network_snapshot_receive_total_duration_seconds": {
            (hex_id(peer_id),): taken for peer_id, taken in times.items()
        },
    }
