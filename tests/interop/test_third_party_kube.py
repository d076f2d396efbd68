"""etcd's Go client, used as the storage layer of kube-apiserver uses it: Kvorum answers as stock.

The program is `third_party/go_kube`; what it prints is compared line by line.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interop.third_party import DEADLINE_S
from tests.interop.third_party.go_program import build
from tests.servers import Server, start_server
from tests.stock import require_stock_35

SOURCES = Path(__file__).parent / "third_party" / "go_kube"
# kubeadm gives 5s; here nobody wants to wait that long for a notification.
FLAGS = ["--experimental-watch-progress-notify-interval=200ms"]

EXPECTED = {
    "startup": "endpoints after sync: the same: true",
    "objects": "create again: false at +1, found none, no error",
    "guaranteed-update": 'in the end: counter="120" created +1 modified +121 version 121',
    "pages": "page 3: 5 of 5 at +32",
    "watch": "one transaction: 3 events in one answer",
    "watch-compacted": "canceled true, compacted at +3, events 0, OutOfRange",
    "progress": "by itself: progress to +4",
    "leases": "put with the expired lease: NotFound: etcdserver: requested lease not found",
    "compactor": "round 1 lost: version 2, revision +3, now +4",
    "limits": "an object of 1.7 MB: false, InvalidArgument: etcdserver: request is too large",
}
"""Scenario → a line (or its beginning) that must be in what it prints."""


@pytest.fixture(scope="module")
def program() -> Path:
    return build(SOURCES)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    """Kvorum and stock."""
    require_stock_35()
    with start_server(extra_flags=FLAGS) as ours, start_server("stock", extra_flags=FLAGS) as stock:
        yield [ours, stock]


def transcript(program: Path, server: Server, scenario: str) -> str:
    ran = subprocess.run(
        [str(program), f"--endpoint={server.client_url}", scenario],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ran.returncode == 0, f"{server.command}:\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.mark.parametrize("scenario", EXPECTED)
def test_kube_apiserver_storage_finds_what_it_finds_on_stock(
    program: Path, servers: list[Server], scenario: str
) -> None:
    with ThreadPoolExecutor() as pool:
        ours, stock = pool.map(lambda server: transcript(program, server, scenario), servers)
    assert ours.splitlines() == stock.splitlines()
    assert any(line.startswith(EXPECTED[scenario]) for line in ours.splitlines()), ours
