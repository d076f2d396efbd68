"""What one member shows of the version that it presents itself as."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from kvorum.cli.etcd.flags import load
from kvorum.client import Client
from kvorum.embed import Config, Member
from kvorum.proto.versions import EMULATED_MINORS, parse_version
from kvorum.server.log import NO_LOG
from tests.servers import start_server
from tests.stock import require_stock_34

ANY_PORT = ("http://127.0.0.1:0",)
PREFIXES = {
    "3.2": {"/v3alpha"},
    "3.3": {"/v3alpha", "/v3beta"},
    "3.4": {"/v3beta", "/v3"},
    "3.5": {"/v3beta", "/v3"},
    "3.6": {"/v3beta", "/v3"},
    "3.7": {"/v3beta", "/v3"},
}


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def answers(port: int) -> dict[str, Any]:
    """What is seen of a version by plain HTTP."""
    found = {
        prefix
        for prefix in ("/v3alpha", "/v3beta", "/v3")
        if ask(port, "POST", f"{prefix}/kv/range", '{"key":"Zm9v"}')[0] == 200
    }
    return {
        "version": json.loads(ask(port, "GET", "/version")[1]),
        "health": ask(port, "GET", "/health"),
        "POST health": ask(port, "POST", "/health"),
        "log level": ask(port, "PUT", "/config/local/log", '{"Level":"INFO"}'),
        "prefixes": found,
    }


@pytest.mark.parametrize("version", EMULATED_MINORS)
async def test_a_member_shows_its_version_everywhere(tmp_path: Path, version: str) -> None:
    config = Config(
        data_dir=tmp_path,
        listen_client_urls=ANY_PORT,
        listen_peer_urls=ANY_PORT,
        emulated_version=version,
        unsafe_no_fsync=True,
    )
    full = f"{version}.0"
    async with Member(config) as member:
        port = int(member.client_urls[0].rpartition(":")[2])
        shown = await asyncio.to_thread(answers, port)
        async with Client(member.client_urls) as client:
            status = await client.maintenance.status()
    stored = full if parse_version(version) >= parse_version("3.6") else ""
    assert shown["version"].pop("storage", "") == stored
    assert shown["version"] == {"etcdserver": full, "etcdcluster": full}
    assert (status.version, status.storageVersion) == (full, stored)
    assert (status.dbSizeQuota > 0) == bool(stored)
    reason = "" if parse_version(version) < parse_version("3.5") else ',"reason":""'
    assert shown["health"] == (200, f'{{"health":"true"{reason}}}'.encode())
    assert shown["prefixes"] == PREFIXES[version]


def test_what_plain_http_shows_of_34_is_what_stock_34_shows() -> None:
    stock_34 = require_stock_34()
    with start_server(str(stock_34.etcd)) as stock:
        theirs = answers(stock.client_port)
    with start_server(extra_flags=["--emulated-version=3.4"]) as server:
        ours = answers(server.client_port)
    assert theirs.pop("version") == {"etcdserver": "3.4.23", "etcdcluster": "3.4.0"}
    assert ours.pop("version") == {"etcdserver": "3.4.0", "etcdcluster": "3.4.0"}
    assert ours == theirs


@pytest.mark.parametrize(
    ("version", "snapshot_count", "pre_vote"),
    [
        ("3.2", 100_000, False),
        ("3.4", 100_000, False),
        ("3.5", 100_000, True),
        ("3.6", 10_000, True),
        ("3.7", 10_000, True),
    ],
)
def test_defaults_are_those_of_the_version(
    version: str, snapshot_count: int, pre_vote: bool
) -> None:
    made = load([f"--emulated-version={version}"], {}, NO_LOG)
    assert (made.snapshot_count, made.pre_vote) == (snapshot_count, pre_vote)
    given = load(
        [f"--emulated-version={version}", "--snapshot-count=7", "--pre-vote=true"], {}, NO_LOG
    )
    assert (given.snapshot_count, given.pre_vote) == (7, True)
