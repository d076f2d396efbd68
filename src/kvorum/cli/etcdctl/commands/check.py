"""`etcdctl check ...`: whether a cluster takes a load that users of its size have.

Rates, limits and texts are stock 3.5.1's.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import ssl
from collections.abc import Iterator
from time import perf_counter
from typing import Final, NamedTuple

from kvorum.cli.etcdctl.bar import Bar
from kvorum.cli.etcdctl.load import VALUE, Results, clients, put_all
from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.goquote import to_bytes, to_text
from kvorum.cli.shared.pflag import BOOL, STRING
from kvorum.cli.shared.stdio import write_text
from kvorum.client import Client, describe, parse_endpoint, prefix_range
from kvorum.errors import WireError

SECONDS: Final = 60
REFRESH_S: Final = 0.2
"""How often the bar is drawn."""
SLOWEST_S_MAX: Final = 0.5
DEVIATION_S_MAX: Final = 0.1
RATE_SHARE_MIN: Final = 0.9
METRIC: Final = re.compile(rb"^process_resident_memory_bytes (\S+)$", re.MULTILINE)
HTTP_TIMEOUT_S: Final = 5.0


class Load(NamedTuple):
    """How much. `amount`: puts a second of `perf`, puts in all of `datascale`."""

    amount: int
    clients: int


PERF: Final = {
    "s": Load(150, 50),
    "m": Load(1000, 200),
    "l": Load(8000, 500),
    "xl": Load(15000, 1000),
}
DATASCALE: Final = {
    "s": Load(10_000, 50),
    "m": Load(100_000, 200),
    "l": Load(1_000_000, 500),
    "xl": Load(3_000_000, 1000),
}
NAMES: Final = {"small": "s", "medium": "m", "large": "l", "xLarge": "xl"}

_LOAD = "load of a cluster that is s(mall), m(edium), l(arge) or xl(arge)"
_COMPACT = "compact after the check, so that what it left can be removed"
_DEFRAG = "defragment every endpoint after the check"


@command("perf", "", "Check the performance of the cluster for 60 seconds")
@flag("load", STRING, "s", _LOAD)
@flag("prefix", STRING, "/etcdctl-check-perf/", "prefix of the keys that are written")
@flag("auto-compact", BOOL, False, _COMPACT)
@flag("auto-defrag", BOOL, False, _DEFRAG)
def perf(call: Call) -> None:
    load, prefix = _load(call, PERF), to_bytes(call.text("prefix"))

    async def body(session: Session) -> None:
        await _refuse_used(session.client, prefix, quotes="'")
        async with clients(session, load.clients) as senders:
            bar = Bar(SECONDS)
            ticking = asyncio.ensure_future(_tick(bar))
            try:
                results = await put_all(senders, _paced(load.amount), prefix, lambda: None)
            finally:
                ticking.cancel()
            bar.finish()
        await _clean_up(call, session, prefix)
        if not _judge(load, results):
            raise CommandError(Exit.ERROR, None)

    run(call, body)


@command("datascale", "", "Check how much memory the server needs for a given amount of keys")
@flag("load", STRING, "s", _LOAD)
@flag("prefix", STRING, "/etcdctl-check-datascale/", "prefix of the keys that are written")
@flag("auto-compact", BOOL, False, _COMPACT)
@flag("auto-defrag", BOOL, False, _DEFRAG)
def datascale(call: Call) -> None:
    load, prefix = _load(call, DATASCALE), to_bytes(call.text("prefix"))

    async def body(session: Session) -> None:
        await _refuse_used(session.client, prefix)
        before = await _memory_bytes(session)
        if before == 0:
            raise _failed(
                "FAIL: Could not read process_resident_memory_bytes before the put operations."
            )
        write_text(
            f"Start data scale check for work load [{load.amount} key-value pairs, {len(VALUE)} "
            f"bytes per key-value, {load.clients} concurrent clients].\n"
        )
        async with clients(session, load.clients) as senders:
            bar = Bar(load.amount)
            results = await put_all(senders, iter([0.0] * load.amount), prefix, bar.add)
            bar.finish()
        after = await _memory_bytes(session)
        await _clean_up(call, session, prefix)
        if after == 0:
            raise _failed(
                "FAIL: Could not read process_resident_memory_bytes after the put operations."
            )
        if results.errors:
            _tell_errors(results)
            raise CommandError(Exit.ERROR, None)
        used = (after - before) / 1_048_576
        write_text(f"PASS: Approximate system memory used : {used:.2f} MB.\n")

    run(call, body)


def _load(call: Call, known: dict[str, Load]) -> Load:
    name = call.text("load")
    load = known.get(NAMES.get(name, name))
    if load is None:
        raise CommandError(Exit.BAD_FEATURE, f"unknown load option {name}")
    return load


def _failed(text: str) -> CommandError:
    write_text(f"{text}\n")
    return CommandError(Exit.ERROR, None)


async def _refuse_used(client: Client, prefix: bytes, quotes: str = "") -> None:
    """Refuse a prefix that somebody uses: the check deletes what is below it."""
    response = await client.kv.get(*prefix_range(prefix), limit=1, timeout_s=None)
    if response.kvs:
        shown = to_text(prefix)
        raise CommandError(
            Exit.INVALID_INPUT,
            f'prefix "{shown}" has keys. Delete with {quotes}etcdctl del --prefix {shown}{quotes}'
            " first",
        )


def _paced(per_second: int) -> Iterator[float]:
    """The moments of the puts: evenly, until the time is over."""
    begun_s = perf_counter()
    for number in range(SECONDS * per_second):
        if perf_counter() - begun_s >= SECONDS:
            return
        yield begun_s + number / per_second


async def _tick(bar: Bar) -> None:
    """Count the seconds."""
    begun_s = perf_counter()
    while bar.done < SECONDS - 1:
        await asyncio.sleep(REFRESH_S)
        if perf_counter() - begun_s >= bar.done + 1:
            bar.add()
        bar.refresh()


def _judge(load: Load, results: Results) -> bool:
    passed = not results.errors
    if results.errors:
        _tell_errors(results)
    rate = int(results.per_second) + 1
    if results.per_second / load.amount <= RATE_SHARE_MIN:
        write_text(f"FAIL: Throughput too low: {rate} writes/s\n")
        passed = False
    else:
        write_text(f"PASS: Throughput is {rate} writes/s\n")
    if results.slowest_s > SLOWEST_S_MAX:
        write_text(f"Slowest request took too long: {results.slowest_s:f}s\n")
        passed = False
    else:
        write_text(f"PASS: Slowest request took {results.slowest_s:f}s\n")
    if results.deviation_s > DEVIATION_S_MAX:
        write_text(f"Stddev too high: {results.deviation_s:f}s\n")
        passed = False
    else:
        write_text(f"PASS: Stddev is {results.deviation_s:f}s\n")
    write_text("PASS\n" if passed else "FAIL\n")
    return passed


def _tell_errors(results: Results) -> None:
    write_text("FAIL: too many errors\n")
    for text, count in results.errors.items():
        write_text(f"FAIL: ERROR({text}) -> {count}\n")


async def _clean_up(call: Call, session: Session, prefix: bytes) -> None:
    client = session.client
    try:
        response = await client.kv.delete(*prefix_range(prefix), timeout_s=None)
        if call.on("auto-compact"):
            revision = response.header.revision
            write_text(f"Compacting with revision {revision}\n")
            await client.kv.compact(revision, physical=True, timeout_s=None)
            write_text(f"Compacted with revision {revision}\n")
        if call.on("auto-defrag"):
            for endpoint in session.settings.endpoints:
                write_text(f'Defragmenting "{endpoint}"\n')
                await client.maintenance.defragment(endpoint, timeout_s=None)
                write_text(f'Defragmented "{endpoint}"\n')
    except WireError as error:
        raise CommandError(Exit.ERROR, describe(error)) from error


async def _memory_bytes(session: Session) -> int:
    """Resident memory of all endpoints' processes; 0: none tells."""
    return sum(
        [
            await asyncio.to_thread(_memory_of, session, endpoint)
            for endpoint in session.settings.endpoints
        ]
    )


def _memory_of(session: Session, endpoint: str) -> int:
    settings, address = session.settings, parse_endpoint(endpoint).address
    secure = endpoint.startswith("https://") or bool(settings.cacert or settings.cert)
    connection: http.client.HTTPConnection
    try:
        if secure:
            context = ssl.create_default_context(cafile=settings.cacert or None)
            if settings.cert:
                context.load_cert_chain(settings.cert, settings.key)
            connection = http.client.HTTPSConnection(
                address, timeout=HTTP_TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(address, timeout=HTTP_TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            found = METRIC.search(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return 0
    return int(float(found[1])) if found else 0
