"""The founding members that records name. Records and addresses are given; the rest is real."""

from __future__ import annotations

import pytest

from kvorum.client.srv import LookupFailedError, Target
from kvorum.embed.config import Config
from kvorum.embed.discovery_srv import LookupService, srv_cluster
from kvorum.embed.logging import stdlib_logger
from kvorum.errors import ConfigError

ADDRESSES = {"one.example.com": "10.0.0.1", "two.example.com": "10.0.0.2"}


def resolve(host: str, port: int) -> str:
    if host not in ADDRESSES and not host[0].isdigit():
        raise OSError(f"lookup {host}: no such host")
    return f"{ADDRESSES.get(host, host)}:{port}"


def records(**services: list[Target]) -> LookupService:
    def lookup(service: str, domain: str) -> list[Target]:
        assert domain == "example.com"
        found = services.get(service.replace("-", "_"))
        if found is None:
            raise LookupFailedError(f"lookup _{service}._tcp.{domain}: no such host")
        return found

    return lookup


def config(**more: str) -> Config:
    return Config(
        name="m1",
        discovery_srv="example.com",
        initial_advertise_peer_urls=("http://10.0.0.1:2380",),
        **more,  # type: ignore[arg-type]
    )


BOTH = [Target("one.example.com", 2380), Target("two.example.com", 2380)]


def test_this_member_is_known_by_its_address_and_the_others_get_numbers() -> None:
    found = srv_cluster(
        config(), stdlib_logger(), lookup=records(etcd_server=BOTH), resolve=resolve
    )
    assert found == {
        "m1": ("http://one.example.com:2380",),
        "0": ("http://two.example.com:2380",),
    }


def test_the_service_name_has_a_suffix() -> None:
    found = srv_cluster(
        config(discovery_srv_name="prod"),
        stdlib_logger(),
        lookup=records(etcd_server_prod=BOTH),
        resolve=resolve,
    )
    assert len(found) == 2


def test_a_member_that_no_record_names_is_refused() -> None:
    others = records(etcd_server=[Target("two.example.com", 2380)])
    with pytest.raises(ConfigError, match='cannot find local etcd member "m1" in SRV records'):
        srv_cluster(config(), stdlib_logger(), lookup=others, resolve=resolve)


def test_no_records_at_all_are_refused_with_both_names() -> None:
    with pytest.raises(ConfigError) as caught:
        srv_cluster(config(), stdlib_logger(), lookup=records(), resolve=resolve)
    assert "error querying DNS SRV records for _etcd-server-ssl" in str(caught.value)
    assert "error querying DNS SRV records for _etcd-server " in str(caught.value)


def test_a_record_with_tls_for_a_member_without_is_refused() -> None:
    secure = records(etcd_server_ssl=[Target("one.example.com", 2380)])
    with pytest.raises(
        ConfigError, match=r"scheme mismatch with expected peer http://10\.0\.0\.1:2380"
    ):
        srv_cluster(config(), stdlib_logger(), lookup=secure, resolve=resolve)


def test_a_target_that_does_not_resolve_is_left_out() -> None:
    targets = [Target("one.example.com", 2380), Target("nowhere.example.com", 2380)]
    found = srv_cluster(
        config(), stdlib_logger(), lookup=records(etcd_server=targets), resolve=resolve
    )
    assert list(found) == ["m1"]
