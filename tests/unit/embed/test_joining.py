"""What a member asks of the cluster that it is to join; the cluster is a server that says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from kvorum.embed.config import Config
from kvorum.embed.joining import find_founding
from kvorum.errors import ConfigError
from kvorum.server.log import NO_LOG
from tests.unit.peer.sides import Handler, answer_head, fake_peer

OWN_URL = "http://127.0.0.1:1"


def answering(answers: Mapping[str, object]) -> Handler:
    """A peer port with these answers by path; what is not there is not found."""

    async def answer(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = answers.get(head.split()[1].decode())
        body = json.dumps(found).encode()
        status = "404 Not Found" if found is None else "200 OK"
        lines = ["X-Etcd-Cluster-ID: c1", f"Content-Length: {len(body)}", "Connection: close"]
        writer.write(answer_head(status, lines) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return answer


async def join(folder: Path, *, cluster_version: str, downgraded: bool | None) -> int:
    """Join as a member of 3.5. Returns the id of the cluster."""
    answers: dict[str, object] = {
        "/version": {"etcdserver": cluster_version, "etcdcluster": cluster_version},
        "/downgrade/enabled": downgraded,
    }
    async with fake_peer(answering(answers)) as url:
        answers["/members"] = [
            {"id": 1, "peerURLs": [url], "name": "a", "clientURLs": ["http://127.0.0.1:2"]},
            {"id": 2, "peerURLs": [OWN_URL]},
        ]
        config = Config(
            name="b",
            data_dir=folder,
            listen_peer_urls=(OWN_URL,),
            initial_cluster=f"a={url},b={OWN_URL}",
            initial_cluster_state="existing",
            emulated_version="3.5",
        )
        founded, own = (await find_founding(config, NO_LOG))()
        assert own.id == 2
        return founded.cluster_id


@pytest.mark.parametrize("downgraded", [False, None])
async def test_a_cluster_of_this_version_or_an_older_one_is_joined(
    tmp_path: Path, downgraded: bool | None
) -> None:
    """Members before 3.5 know no downgrades."""
    for version in ("3.4.0", "3.5.0"):
        assert await join(tmp_path, cluster_version=version, downgraded=downgraded) == 0xC1


async def test_a_newer_cluster_is_joined_only_on_its_way_down_to_this_version(
    tmp_path: Path,
) -> None:
    assert await join(tmp_path, cluster_version="3.6.0", downgraded=True) == 0xC1
    for version, downgraded in (("3.6.0", False), ("3.7.0", True)):
        with pytest.raises(ConfigError, match="incompatible with current running cluster"):
            await join(tmp_path, cluster_version=version, downgraded=downgraded)


async def test_who_is_not_in_its_own_list_does_not_join(tmp_path: Path) -> None:
    config = Config(
        name="b",
        data_dir=tmp_path,
        initial_cluster=f"a={OWN_URL}",
        initial_cluster_state="existing",
    )
    with pytest.raises(ConfigError, match='couldn\'t find local name "b"'):
        await find_founding(config, NO_LOG)
