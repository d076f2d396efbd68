"""Values of every kind are printed by our etcdctl as by stock's, in every form."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from random import Random

import pytest

from kvorum.client import Client
from tests.servers import server_environment, start_server
from tests.stock import require_stock_35

OURS = (sys.executable, "-m", "kvorum.cli.etcdctl")
RANDOM_VALUES_COUNT = 200
HARD_CHARACTERS = 'ab"\\`$<>&\n\t\x00\x7f\xe9\u200b\u65e5\U0001f600\u0301\ufffd\u2028'


def values(random: Random) -> Iterator[bytes]:
    yield bytes(range(256))
    for start in range(0, 0x110000, 0x1000):
        block = (chr(code) for code in range(start, start + 0x1000) if not 0xD800 <= code < 0xE000)
        yield "".join(filter(known_to_both, block)).encode()
    for _ in range(RANDOM_VALUES_COUNT):
        yield random.randbytes(random.randrange(40))
    for _ in range(RANDOM_VALUES_COUNT):
        text = "".join(random.choices(HARD_CHARACTERS, k=random.randrange(20))).encode()
        yield text[: random.randrange(len(text) + 1)]


def known_to_both(character: str) -> bool:
    """Stock's Go has Unicode 13, our Python may have a newer one; what 3.2 had is in every one."""
    return unicodedata.ucd_3_2_0.category(character) != "Cn"


async def fill(endpoint: str) -> None:
    async with Client([endpoint]) as client:
        for number, value in enumerate(values(Random(1))):
            await client.kv.put(b"v%05d" % number, value)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    require_stock_35()
    with start_server("stock") as server:
        asyncio.run(fill(server.target))
        yield server.target


@pytest.mark.parametrize(
    "flags",
    ["", "--hex", "-w=fields", "-w=json", "-w=protobuf", "--print-value-only", "--keys-only"],
)
def test_values_are_printed_as_stock_prints_them(endpoint: str, flags: str) -> None:
    stock, ours = (
        subprocess.run(
            [*client, f"--endpoints={endpoint}", "get", "v", "--prefix", *flags.split()],
            check=True,
            capture_output=True,
            env=server_environment(),
        ).stdout
        for client in ((str(require_stock_35().etcdctl),), OURS)
    )
    assert len(stock) > 1000
    assert stock == ours
