"""The readers under test, by name."""

from __future__ import annotations

from tests.robustness.fuzz.bolt import BoltTarget
from tests.robustness.fuzz.harness import Target
from tests.robustness.fuzz.snap import SnapTarget
from tests.robustness.fuzz.streams import StreamTarget
from tests.robustness.fuzz.trailer import TrailerTarget
from tests.robustness.fuzz.wal import WalTarget

TARGETS: dict[str, type[Target]] = {
    one.name: one for one in (BoltTarget, WalTarget, SnapTarget, TrailerTarget, StreamTarget)
}
