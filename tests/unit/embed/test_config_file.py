"""The configuration file: what stock 3.5.1 takes, and how it refuses the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvorum.embed.config import Config
from kvorum.embed.config_file import UrlsError, read_config_file
from kvorum.embed.config_load import assemble
from kvorum.errors import ConfigError

_DECODING = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"


def load(folder: Path, text: str) -> Config:
    path = folder / "etcd.yml"
    path.write_text(text)
    return assemble(read_config_file(str(path)).given, from_file=True)


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        name: a
        data-dir: /var/lib/x
        Heartbeat-Interval: 200     # keys match in any case
        election-timeout: 2.0e3
        snapshot-count: 0x10
        pre-vote: no
        quota-backend-bytes: 1e9
        grpc-keepalive-min-time: 7000000000  # nanoseconds
        listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
        log-outputs: [stdout, stderr]
        initial-cluster-state: existing
        feature-gates: LeaseCheckpoint=true
        wal-dir: ~
        """,
    )
    assert (config.name, str(config.data_dir), config.wal_dir) == ("a", "/var/lib/x", "")
    assert (config.heartbeat_interval_ms, config.election_timeout_ms) == (200, 2000)
    assert (config.snapshot_count, config.quota_backend_bytes) == (16, 10**9)
    assert (config.pre_vote, config.lease_checkpoint) == (False, True)
    assert config.grpc_keepalive_min_time_s == 7.0
    assert config.listen_client_urls == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert config.advertise_client_urls == ("http://localhost:2379",)  # as etcd leaves it
    assert config.log_outputs == ("stdout", "stderr")
    assert config.initial_cluster == ""  # follows the name


def test_an_empty_file_is_the_default_member(tmp_path: Path) -> None:
    assert load(tmp_path, "") == load(tmp_path, "{}\n")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            "grpc-keepalive-interval: 10s",
            f"{_DECODING} string into Go struct field "
            "configYAML.grpc-keepalive-interval of type time.Duration",
        ),
        (
            'heartbeat-interval: "100"',
            f"{_DECODING} string into Go struct field configYAML.heartbeat-interval of type uint",
        ),
        (
            "heartbeat-interval: -1",
            f"{_DECODING} number -1 into Go struct field "
            "configYAML.heartbeat-interval of type uint",
        ),
        (
            "heartbeat-interval: 1.5",
            f"{_DECODING} number 1.5 into Go struct field "
            "configYAML.heartbeat-interval of type uint",
        ),
        ("name: [a]", f"{_DECODING} array into Go struct field configYAML.name of type string"),
        ("name: 3", f"{_DECODING} number into Go struct field configYAML.name of type string"),
        (
            'pre-vote: "true"',
            f"{_DECODING} string into Go struct field configYAML.pre-vote of type bool",
        ),
        (
            "auto-compaction-retention: 5",
            f"{_DECODING} number into Go struct field "
            "configYAML.auto-compaction-retention of type string",
        ),
        (
            "log-outputs: stderr",
            f"{_DECODING} string into Go struct field configYAML.log-outputs of type []string",
        ),
        (
            "client-transport-security: 3",
            f"{_DECODING} number into Go struct field "
            "configYAML.client-transport-security of type embed.securityConfig",
        ),
        (
            "listen-client-urls: [http://127.0.0.1:1]",
            f"{_DECODING} array into Go struct field configYAML.listen-client-urls of type string",
        ),
        ("- a", f"{_DECODING} array into Go value of type embed.configYAML"),
        ("3", f"{_DECODING} number into Go value of type embed.configYAML"),
        ("initial-cluster-state: foo", 'unexpected clusterState "foo"'),
        ("auto-compaction-mode: x", 'unknown auto-compaction-mode "x"'),
        ("logger: foo", 'unknown logger option "foo"'),
        (
            "log-outputs: [default, stderr]",
            'multi logoutput for "default" is not supported yet',
        ),
        (
            "election-timeout: 100",
            "--election-timeout[100ms] should be at least as 5 times as "
            "--heartbeat-interval[100ms]",
        ),
        ("name: 'a", "error converting YAML to JSON: yaml: line 2: found unexpected end of "),
        ("a: b: c", "error converting YAML to JSON: yaml: mapping values are not allowed "),
        (
            "client-transport-security: {cert-file: x, key-file: ''}",
            "client-transport-security: cert-file is not supported by this version of Kvorum",
        ),
        ("cert-file: x", "--cert-file is not supported by this version of Kvorum"),
    ],
)
def test_a_wrong_value_is_refused_in_stocks_words(tmp_path: Path, text: str, refusal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text + "\n")
    assert str(caught.value).startswith(refusal)


def test_bad_urls_are_told_in_a_way_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(UrlsError) as caught:
        load(tmp_path, "listen-client-urls: foo\n")
    assert str(caught.value) == (
        "unexpected error setting up listen-client-urls: "
        "URL scheme must be http, https, unix, or unixs: foo"
    )


def test_sections_of_defaults_and_unknown_keys_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yml"
    path.write_text("peer-transport-security: {auto-tls: false}\nnosuch: 1\nsocket-options:\n")
    settings = read_config_file(str(path))
    assert settings.unknown == ["nosuch"]
    assert assemble(settings.given, from_file=True).name == "default"


def test_a_missing_file_is_told_as_the_system_tells_it(tmp_path: Path) -> None:
    path = tmp_path / "nope"
    with pytest.raises(ConfigError) as caught:
        read_config_file(str(path))
    assert str(caught.value) == f"open {path}: no such file or directory"


@given(
    st.dictionaries(
        st.sampled_from(["name", "max-wals", "pre-vote", "log-outputs", "x", "discovery-config"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_values_make_a_config_or_a_configuration_error(
    tmp_path: Path, document: dict[str, object]
) -> None:
    try:
        config = load(tmp_path, yaml.safe_dump(document))
    except ConfigError:
        return
    assert isinstance(config.name, str)
