"""When history is compacted by itself: by time, or by number of revisions.

Rules that decide, and a runner that waits and proposes. Both know time only by what is injected.

Periodic, with a period P: the newest revision is noted every min(P, 1 h) / 10, and the notes of the
last P are kept. The first compaction comes when P has passed, later ones every min(P, 1 h), each to
the revision of P ago: what is younger than P can always be read. A member that leads anew goes on
with its own notes, which it makes whether it leads or not.

By revisions, with a retention N: every 5 minutes, to the newest revision less N.

A compaction that fails is tried again at the next look. One that would compact nothing new is left
out: it would only fill the log (3.5.1 does it all the same, later releases do not).

Source: shared facts, flags.md section 3; schedule, fields and texts observed on 3.5.1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kvorum.errors import CompactedError, WireError
from kvorum.gotext import duration_text
from kvorum.server.log import Logger

NS_PER_S: Final = 1_000_000_000
LONG_PERIOD_NS: Final = 3600 * NS_PER_S
"""Longer periods are looked at as often as this one."""
LOOKS_PER_INTERVAL: Final = 10
REVISION_INTERVAL_NS: Final = 300 * NS_PER_S

PERIODIC: Final = "periodic"
REVISION: Final = "revision"


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept: `amount` is nanoseconds or revisions, by `mode`; above 0."""

    mode: str
    amount: int


class Rule(Protocol):
    """Decides what is compacted. `note` and `due` are called by turns, `look_s` apart."""

    mode: str
    look_s: float

    def note(self, revision: int) -> None:
        """Hear of the newest revision."""
        ...

    def due(self, revision: int) -> int | None:
        """The revision to compact to now; None: nothing is due.

        Args:
            revision: the newest.
        """
        ...

    def done(self, revision: int) -> None:
        """The compaction that was due has been made."""
        ...

    def fields(self) -> dict[str, Any]:
        """What the log lines tell of the setting."""
        ...


class Periodic:
    """See the module. `clock_ns`: monotonic nanoseconds."""

    mode = PERIODIC

    def __init__(self, period_ns: int, clock_ns: Callable[[], int]) -> None:
        interval_ns = min(period_ns, LONG_PERIOD_NS)
        look_ns = interval_ns // LOOKS_PER_INTERVAL
        assert look_ns > 0, period_ns
        self.look_s = look_ns / NS_PER_S
        self._clock_ns = clock_ns
        self._period_ns = period_ns
        self._interval_ns = interval_ns
        self._wait_ns = period_ns
        """From the last success, or from the start, to the next compaction."""
        self._since_ns = clock_ns()
        self._notes: deque[int] = deque(maxlen=period_ns // look_ns + 1)
        self._compacted = 0

    def note(self, revision: int) -> None:
        self._notes.append(revision)

    def due(self, revision: int) -> int | None:
        oldest = self._notes[0]
        if self._clock_ns() - self._since_ns < self._wait_ns or oldest == self._compacted:
            return None
        self._wait_ns = self._interval_ns
        return oldest

    def done(self, revision: int) -> None:
        self._compacted = revision
        self._since_ns = self._clock_ns()

    def fields(self) -> dict[str, Any]:
        return {"compact_period": duration_text(self._period_ns / NS_PER_S)}


class ByRevision:
    """See the module."""

    mode = REVISION
    look_s = REVISION_INTERVAL_NS / NS_PER_S

    def __init__(self, retention: int) -> None:
        assert retention > 0, retention
        self._retention = retention
        self._compacted = 0

    def note(self, revision: int) -> None:
        """Only the newest revision matters."""

    def due(self, revision: int) -> int | None:
        target = revision - self._retention
        return None if target <= 0 or target == self._compacted else target

    def done(self, revision: int) -> None:
        self._compacted = revision

    def fields(self) -> dict[str, Any]:
        return {"revision_compaction_retention": self._retention}


def rule_of(retention: Retention, clock_ns: Callable[[], int]) -> Rule:
    """The rule for a setting."""
    if retention.mode == REVISION:
        return ByRevision(retention.amount)
    return Periodic(retention.amount, clock_ns)


class Compactor:
    """Runs a rule: looks, and has compacted what is due.

    Args:
        rule: decides.
        revision: the newest revision.
        leads: whether this member is the leader: only the leader compacts.
        compact: makes a compaction through the log; raises WireError.
        sleep: waits seconds.
        clock_ns: monotonic nanoseconds, for the log.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        revision: Callable[[], int],
        leads: Callable[[], bool],
        compact: Callable[[int], Awaitable[object]],
        sleep: Callable[[float], Awaitable[None]],
        clock_ns: Callable[[], int],
        log: Logger,
    ) -> None:
        self._rule = rule
        self._revision = revision
        self._leads = leads
        self._compact = compact
        self._sleep = sleep
        self._clock_ns = clock_ns
        self._log = log

    async def run(self) -> None:
        """Compact what comes due, until cancelled."""
        rule = self._rule
        while True:
            rule.note(self._revision())
            await self._sleep(rule.look_s)
            if not self._leads():
                continue
            target = rule.due(self._revision())
            if target is not None:
                await self._make(target)

    async def _make(self, target: int) -> None:
        rule, log = self._rule, self._log
        fields = {"revision": target, **rule.fields()}
        log.info(f"starting auto {rule.mode} compaction", **fields)
        begun_ns = self._clock_ns()
        try:
            await self._compact(target)
        except CompactedError:
            pass  # by a client, or by the leader before us
        except WireError as error:
            retry = duration_text(rule.look_s)
            log.warn(
                f"failed auto {rule.mode} compaction", **fields, retry_interval=retry, error=error
            )
            return
        took = duration_text((self._clock_ns() - begun_ns) / NS_PER_S)
        log.info(f"completed auto {rule.mode} compaction", **fields, took=took)
        rule.done(target)


__all__ = ["PERIODIC", "REVISION", "ByRevision", "Compactor", "Periodic", "Retention", "rule_of"]
