"""Puts by many clients at once, and how long they took: what `check` measures with."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from kvorum.cli.etcdctl.session import Session, make_client
from kvorum.client import Client, describe
from kvorum.errors import WireError

KEY_BYTES: Final = 256
VALUE: Final = bytes(1024)
_NUMBER_MAX: Final = 2**63 - 1


@dataclass(slots=True)
class Results:
    """What came of the puts."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds if self.seconds else 0.0

    @property
    def slowest_s(self) -> float:
        return max(self.latencies_s, default=0.0)

    @property
    def deviation_s(self) -> float:
        """Standard deviation of the latencies."""
        count = len(self.latencies_s)
        if count == 0:
            return 0.0
        mean = sum(self.latencies_s) / count
        return math.sqrt(sum((one - mean) ** 2 for one in self.latencies_s) / count)


@asynccontextmanager
async def clients(session: Session, count: int) -> AsyncIterator[list[Client]]:
    """So many clients, with a connection each."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            client = make_client(session.settings, session.settings.endpoints)
            made.append(await stack.enter_async_context(client))
            await client.authenticate()
        yield made


def random_key(prefix: bytes) -> bytes:
    """A key of `KEY_BYTES` behind the prefix: a number, and zeros."""
    return prefix + b"%x" % random.randrange(_NUMBER_MAX) + bytes(KEY_BYTES)


async def put_all(
    senders: list[Client], turns: Iterator[float], prefix: bytes, done: Callable[[], None]
) -> Results:
    """Put once for each turn: a time of the clock before which it is not to be, in order."""
    results = Results()
    begun_s = perf_counter()

    async def send(client: Client) -> None:
        for turn_s in turns:
            delay_s = turn_s - perf_counter()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            put_s = perf_counter()
            try:
                await client.kv.put(random_key(prefix), VALUE, timeout_s=None)
            except WireError as error:
                results.errors[describe(error)] += 1
            else:
                results.latencies_s.append(perf_counter() - put_s)
            done()

    await asyncio.gather(*map(send, senders))
    results.seconds = perf_counter() - begun_s
    return results
