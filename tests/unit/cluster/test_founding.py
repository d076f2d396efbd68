"""Texts as etcdutl 3.5.1 gave them for `snapshot restore`."""

from __future__ import annotations

import pytest

from kvorum.cluster.founding import check_advertised, check_distinct, check_named
from kvorum.errors import ConfigError

A, B = "http://10.0.0.1:2380", "http://10.0.0.2:2380"


def known(host: str, port: int) -> str:
    addresses = {"one": "10.0.0.1", "10.0.0.1": "10.0.0.1", "10.0.0.2": "10.0.0.2"}
    if host not in addresses:
        raise OSError(f"lookup {host}: no such host")
    return f"{addresses[host]}:{port}"


def test_a_name_that_is_not_in_the_cluster_is_refused() -> None:
    check_named({"a": (A,)}, "a")
    with pytest.raises(ConfigError, match='couldn\'t find local name "b" in the initial cluster'):
        check_named({"a": (A,)}, "b")


def test_a_url_of_two_members_is_refused() -> None:
    check_distinct({"a": (A,), "b": (B,)})
    with pytest.raises(ConfigError, match=f"initial cluster a={A},b={A} has duplicate url"):
        check_distinct({"a": (A,), "b": (A,)})


@pytest.mark.parametrize("advertised", [A, "http://one:2380"])
def test_urls_match_when_they_stand_for_the_same_address(advertised: str) -> None:
    check_advertised({"a": (A,)}, "a", (advertised,), known)


def test_equal_urls_match_wherever_they_lead() -> None:
    """Stock looks the name up even then, and waits for 30 s: a restore is often done elsewhere."""
    check_advertised({"a": ("http://pod:1",)}, "a", ("http://pod:1",), known)


@pytest.mark.parametrize(
    ("advertised", "text"),
    [
        (
            (B,),
            f'--initial-cluster has a={A} but missing from --initial-advertise-peer-urls={B} ("{B}"'
            f'(resolved from "{B}") != "{A}"(resolved from "{A}"))',
        ),
        (
            (A, B),
            f"--initial-advertise-peer-urls has {B} but missing from --initial-cluster=a={A},a={B}",
        ),
        (
            ("http://nohost:1",),
            f"--initial-cluster has a={A} but missing from "
            "--initial-advertise-peer-urls=http://nohost:1 (lookup nohost: no such host)",
        ),
    ],
)
def test_other_urls_are_refused(advertised: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_advertised({"a": (A,)}, "a", advertised, known)
    assert str(refused.value) == text
