"""Flags of the JSON gateway and of plain HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvorum.embed.config import Config
from kvorum.embed.config_file import read_config_file
from kvorum.embed.config_table_later import FLAGS
from kvorum.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("enable-grpc-gateway", "false", False),
        ("cors", "*", ("*",)),
        ("cors", "https://b:2,http://a:1", ("http://a:1", "https://b:2")),
        ("host-whitelist", "*", ("*",)),
        ("host-whitelist", "b,a,b", ("a", "b")),
        # In stock too this is a name, so that no request is let in.
        ("host-whitelist", "", ("",)),
    ],
)
def test_a_flag_is_parsed(name: str, text: str, value: object) -> None:
    assert FLAGS[name].parse(text) == value
    assert FLAGS[name].supported


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://a.com", 'URL address does not have the form "host:port": http://a.com'),
        ("", "URL scheme must be http, https, unix, or unixs: "),
        ("a.com:80", "URL scheme must be http, https, unix, or unixs: a.com:80"),
    ],
)
def test_an_origin_is_a_url_with_a_port(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        FLAGS["cors"].parse(text)


def test_everything_is_open_unless_it_is_said() -> None:
    config = Config()
    assert config.enable_grpc_gateway
    assert (config.cors, config.host_whitelist) == (("*",), ("*",))


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("cors: ''", "cors", ("*",)),
        ("cors: http://a:1", "cors", ("http://a:1",)),
        ("host-whitelist: a,b", "host-whitelist", ("a", "b")),
        ("host-whitelist: ''", "host-whitelist", ("*",)),
        ("enable-grpc-gateway: false", "enable-grpc-gateway", False),
    ],
)
def test_the_file_has_them_too(tmp_path: Path, line: str, name: str, value: Any) -> None:
    path = tmp_path / "etcd.yml"
    path.write_text(line + "\n")
    assert read_config_file(str(path)).given[name].value == value
