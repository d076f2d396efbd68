"""What a link does to packets, decided for one packet at a time. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

QUEUE_PACKETS_MAX = 10_000
"""Of one link, unless its rule says otherwise; 15 MB of full packets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to packets in one direction between two nodes.

    Attributes:
        blocked: nothing passes. What is under way arrives.
        loss: of each packet, the chance to be lost.
        delay_s: each packet takes as long.
        jitter_s: and up to so much longer, each by itself: packets overtake each other.
        bytes_per_s: the packets follow one another at this rate; 0: at once.
        queue_packets_max: what comes when so many are under way is lost.
    """

    blocked: bool = False
    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    queue_packets_max: int = QUEUE_PACKETS_MAX

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Counts:
    """Packets of one link so far."""

    delivered: int = 0
    lost: int = 0
    blocked: int = 0
    overflowed: int = 0
    """Lost because the queue was full."""


@dataclass(slots=True)
class Link:
    """One direction between two nodes."""

    rng: Random
    rule: Rule = field(default_factory=Rule)
    counts: Counts = field(default_factory=Counts)
    under_way: int = 0
    _free_at_s: float = 0.0
    """When the last packet has been put on the line, where that takes time."""

    def accept(self, size_bytes: int, now_s: float) -> float | None:
        """When the packet will arrive, by the same clock; None: it never does."""
        rule = self.rule
        if rule.blocked:
            self.counts.blocked += 1
            return None
        if rule.loss and self.rng.random() < rule.loss:
            self.counts.lost += 1
            return None
        if self.under_way >= rule.queue_packets_max:
            self.counts.overflowed += 1
            return None
        self.under_way += 1
        leaves_s = now_s
        if rule.bytes_per_s:
            leaves_s = max(now_s, self._free_at_s) + size_bytes / rule.bytes_per_s
            self._free_at_s = leaves_s
        jitter_s = self.rng.uniform(0.0, rule.jitter_s) if rule.jitter_s else 0.0
        return leaves_s + rule.delay_s + jitter_s

    def arrived(self) -> None:
        """A packet that was accepted has been handed on."""
        assert self.under_way > 0
        self.under_way -= 1
        self.counts.delivered += 1
