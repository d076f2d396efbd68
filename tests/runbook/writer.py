"""A client that writes all the time, and knows what it was told is written."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

from kvorum.client import Client, ClientOptions
from kvorum.errors import WireError
from tests.robustness.calls import Calls

PAUSE_S = 0.01
FOLLOW_S = 0.2


class Writer:
    """Writes `writer/<number>` one after the other while the block runs.

    Args:
        follow_members: ask the cluster for its members now and then, as they are replaced.
    """

    def __init__(self, endpoints: Sequence[str], *, follow_members: bool = False) -> None:
        self._endpoints = list(endpoints)
        self._options = ClientOptions(
            timeout_s=2.0, auto_sync_interval_s=FOLLOW_S if follow_members else None
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._stopping = threading.Event()
        self.acknowledged: list[int] = []
        self.times_s: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write no more; may be called twice."""
        self._stopping.set()
        self._thread.join()

    @property
    def longest_gap_s(self) -> float:
        """The longest time without an acknowledged write."""
        pairs = zip(self.times_s, self.times_s[1:], strict=False)
        return max((later - earlier for earlier, later in pairs), default=0.0)

    async def _run(self) -> None:
        number = 0
        async with Client(self._endpoints, options=self._options) as client:
            while not self._stopping.is_set():
                number += 1
                try:
                    await client.kv.put(b"writer/%d" % number, b"%d" % number)
                except WireError as error:
                    self.failures.append(error.message)
                else:
                    self.acknowledged.append(number)
                    self.times_s.append(time.monotonic())
                await asyncio.sleep(PAUSE_S)

    def missing(self, target: str) -> set[int]:
        """Acknowledged writes that the member at `target` does not have."""
        with Calls(target) as calls:
            found = calls.get(b"writer/", b"writer0").kvs
        return set(self.acknowledged) - {int(one.value) for one in found}
