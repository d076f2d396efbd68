"""The founding members: texts as stock 3.5.1 logged them."""

from __future__ import annotations

from typing import Any

import pytest

from kvorum.cluster.ids import hex_id
from kvorum.embed.config import Config
from kvorum.embed.config_cluster import founding_cluster
from kvorum.errors import ConfigError

_PEER = "http://127.0.0.1:45971"


def config(**more: Any) -> Config:
    return Config(**({"listen_peer_urls": (_PEER,)} | more))


def no_names(host: str, port: int) -> str:
    if host.replace(".", "").isdigit():
        return f"{host}:{port}"
    raise OSError(f"lookup {host}: no such host")


def test_the_default_member_has_stocks_ids() -> None:
    founded, member = founding_cluster(Config(initial_cluster="default=http://localhost:2380"))
    assert hex_id(member.id) == "8e9e05c52164694d"
    assert hex_id(founded.cluster_id) == "cdf818194e3a8c32"


def test_without_an_initial_cluster_the_member_is_alone() -> None:
    founded, member = founding_cluster(config(name="a"))
    assert founded.members == (member,)
    assert (member.name, member.peer_urls) == ("a", (_PEER,))


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        (
            {"initial_cluster": f"a={_PEER}"},
            'couldn\'t find local name "default" in the initial cluster configuration',
        ),
        (
            {"initial_cluster": "default=http://127.0.0.1:45970"},
            "--initial-cluster has default=http://127.0.0.1:45970 but missing from "
            f'--initial-advertise-peer-urls={_PEER} ("{_PEER}"(resolved from "{_PEER}") != '
            '"http://127.0.0.1:45970"(resolved from "http://127.0.0.1:45970"))',
        ),
        (
            {"initial_cluster": f"default=http://127.0.0.1:45970,default={_PEER}"},
            "--initial-cluster has default=http://127.0.0.1:45970 but missing from "
            f'--initial-advertise-peer-urls={_PEER} (len(["{_PEER}"]) != '
            f'len(["http://127.0.0.1:45970" "{_PEER}"]))',
        ),
        (
            {"initial_cluster": f"default={_PEER},b={_PEER}"},
            f"initial cluster b={_PEER},default={_PEER} has duplicate url",
        ),
        (
            {"initial_cluster": f"default={_PEER},default={_PEER}"},
            f"failed to resolve {_PEER} to match --initial-cluster=default={_PEER} "
            f'(len(["{_PEER}"]) != len(["{_PEER}" "{_PEER}"]))',
        ),
        (
            {
                "initial_cluster": f"default={_PEER}",
                "initial_advertise_peer_urls": (_PEER, "http://127.0.0.1:45972"),
            },
            "--initial-advertise-peer-urls has http://127.0.0.1:45972 but missing from "
            f"--initial-cluster=default={_PEER},default=http://127.0.0.1:45972",
        ),
        (
            {"initial_cluster": "default=http://localhost:45971"},
            "--initial-cluster has default=http://localhost:45971 but missing from "
            f'--initial-advertise-peer-urls={_PEER} ("{_PEER}"(resolved from "{_PEER}") != '
            '"http://localhost:45971"(resolved from "http://localhost:45971"))',
        ),
        (
            {"initial_cluster": "foo"},
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: ",
        ),
    ],
)
def test_a_wrong_initial_cluster_is_refused_in_stocks_words(
    more: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        founding_cluster(config(**more), no_names)
    assert str(caught.value) == refusal


def test_a_name_and_its_address_are_the_same_member() -> None:
    named = config(initial_cluster="default=http://node1.example:45971")
    _, member = founding_cluster(named, lambda host, port: f"127.0.0.1:{port}")
    assert member.peer_urls == ("http://node1.example:45971",)


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(ConfigError, match=r"lookup node1\.example: no such host"):
        founding_cluster(config(initial_cluster="default=http://node1.example:1"), no_names)
