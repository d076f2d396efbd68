"""The ports of a member: gRPC and plain HTTP together or apart, and the ports for metrics."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kvorum.client import Client
from kvorum.embed import Config, Member
from kvorum.embed.config_gates import features
from kvorum.errors import ConfigError
from tests.servers import free_port

ANY_PORT = ("http://127.0.0.1:0",)
DEADLINE_S = 20.0


def config_of(data_dir: Path, **more: Any) -> Config:
    defaults = {"listen_client_urls": ANY_PORT, "listen_peer_urls": ANY_PORT}
    return Config(data_dir=data_dir, **(defaults | more))


async def ask(url: str, path: str) -> str:
    """The whole answer to a request; empty: the connection was closed without one."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
    try:
        return (await asyncio.wait_for(reader.read(), DEADLINE_S)).decode()
    except ConnectionResetError:
        return ""
    finally:
        writer.close()


async def test_grpc_and_http_share_a_port_unless_they_are_told_apart(tmp_path: Path) -> None:
    async with Member(config_of(tmp_path / "one")) as member:
        assert '"health":"true"' in await ask(member.client_urls[0], "/health")
        assert member.http_urls == ()
    apart = config_of(tmp_path / "two", listen_client_http_urls=ANY_PORT)
    async with Member(apart) as member:
        assert await ask(member.client_urls[0], "/health") == ""
        assert '"health":"true"' in await ask(member.http_urls[0], "/health")
        async with Client(member.client_urls) as client:
            await client.kv.put(b"k", b"v")
        assert "etcd_mvcc_put_total 1\n" in await ask(member.http_urls[0], "/metrics")


async def test_probes_and_metrics_have_ports_of_their_own(tmp_path: Path) -> None:
    config = config_of(tmp_path, listen_metrics_urls=ANY_PORT, metrics="extensive")
    async with Member(config) as member:
        (url,) = member.metrics_urls
        assert "ok\n" in await ask(url, "/livez")
        assert "grpc_server_handling_seconds_bucket" in await ask(url, "/metrics")
        assert " 404 " in await ask(url, "/version")
    with pytest.raises(OSError, match=r"refused|Connect"):
        await ask(url, "/livez")


async def test_a_taken_metrics_port_is_told_before_anything_is_written(tmp_path: Path) -> None:
    taken = f"http://127.0.0.1:{free_port()}"
    async with Member(config_of(tmp_path / "one", listen_metrics_urls=(taken,))):
        other = Member(config_of(tmp_path / "two", listen_metrics_urls=(taken,)))
        with pytest.raises(ConfigError, match="bind: address already in use"):
            await other.start()
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        (
            {
                "listen_client_urls": ("http://127.0.0.1:2379",),
                "listen_client_http_urls": ("http://127.0.0.1:2379",),
            },
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url"
            " http://127.0.0.1:2379",
        ),
        (
            {"listen_metrics_urls": ("http://foo:1",)},
            "expected IP in URL for binding (http://foo:1)",
        ),
        ({"metrics": "some"}, 'unknown level of metrics "some" (known: basic, extensive)'),
        (
            {"warning_apply_duration_s": -1.0},
            "--warning-apply-duration must not be negative",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, more: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, **more)
    assert str(caught.value) == refusal


def test_feature_gates_are_told_with_their_state(tmp_path: Path) -> None:
    told = {one.name: one for one in features(config_of(tmp_path, lease_checkpoint=True))}
    assert told["LeaseCheckpoint"].enabled
    assert not told["LeaseCheckpointPersist"].enabled
    assert told["TxnModeWriteWithSharedBuffer"][1:] == ("BETA", True)
    assert told["InitialCorruptCheck"].stage == "ALPHA"
