"""Flags by which the founders of a cluster find each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvorum.embed.config import Config
from kvorum.embed.config_file import read_config_file
from kvorum.embed.config_load import Given, assemble
from kvorum.embed.config_table_later import FLAGS
from kvorum.errors import ConfigError

FILE = """
name: infra0
discovery-config:
  token: t
  client:
    endpoints: [http://10.0.0.1:2379, http://10.0.0.2:2379]
    dial-timeout: 1000000000
    request-timeout: 7000000000
    keepalive-time: 3000000000
    secure: {cert: c.crt, key: c.key, cacert: ca.crt, insecure-transport: false}
    auth: {username: root, password: secret}
"""


def load(**flags: str) -> Config:
    given = {
        name.replace("_", "-"): Given(FLAGS[name.replace("_", "-")].parse(text), text)
        for name, text in flags.items()
    }
    return assemble(given)


def test_the_flags_of_a_discovery_service() -> None:
    config = load(
        discovery_endpoints="http://10.0.0.2:2379,http://10.0.0.1:2379",
        discovery_token="t",
        discovery_dial_timeout="1500ms",
    )
    assert config.discovery_endpoints == ("http://10.0.0.1:2379", "http://10.0.0.2:2379")
    assert (config.discovery_token, config.discovery_dial_timeout_s) == ("t", 1.5)


def test_the_section_of_the_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yml"
    path.write_text(FILE)
    config = assemble(read_config_file(str(path)).given, from_file=True)
    assert config.discovery_endpoints == ("http://10.0.0.1:2379", "http://10.0.0.2:2379")
    assert config.discovery_token == "t"
    assert config.discovery_dial_timeout_s == 1.0
    assert config.discovery_request_timeout_s == 7.0
    assert config.discovery_keepalive_time_s == 3.0
    assert not config.discovery_insecure_transport
    assert (config.discovery_cert, config.discovery_key) == ("c.crt", "c.key")
    assert config.discovery_cacert == "ca.crt"
    assert (config.discovery_user, config.discovery_password) == ("root", "secret")
    assert "secret" not in repr(config)


def test_what_a_section_of_the_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yml"
    path.write_text("discovery-config: {client: [1]}")
    with pytest.raises(ConfigError, match="cannot unmarshal array into Go struct field"):
        read_config_file(str(path))
    path.write_text("discovery-config: {client: {secure: {insecure-skip-verify: true}}}")
    with pytest.raises(ConfigError, match="always checks certificates"):
        read_config_file(str(path))


@pytest.mark.parametrize(
    "flags", [{"discovery_token": "t"}, {"discovery_endpoints": "http://10.0.0.1:2379"}]
)
def test_token_and_endpoints_need_each_other(flags: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="both --discovery-token and --discovery-endpoints must"):
        load(**flags)


def test_an_empty_endpoint_is_refused() -> None:
    with pytest.raises(ConfigError, match="must not contain empty endpoints"):
        load(discovery_token="t", discovery_endpoints="http://10.0.0.1:2379,")


def test_one_way_of_founding_is_enough() -> None:
    with pytest.raises(ConfigError, match="multiple discovery or bootstrap flags are set"):
        load(
            discovery_token="t",
            discovery_endpoints="http://10.0.0.1:2379",
            initial_cluster="default=http://localhost:2380",
        )


@pytest.mark.parametrize("name", ["discovery", "discovery_proxy"])
def test_the_version_2_protocol_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ConfigError, match="use --discovery-endpoints with --discovery-token"):
        load(**{name: "http://discovery.example.com/x"})


def test_unchecked_certificates_are_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="always checks certificates"):
        load(discovery_insecure_skip_tls_verify="true")
