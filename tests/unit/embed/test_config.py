from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvorum.embed.config import Config
from kvorum.errors import ConfigError
from kvorum.proto.versions import Version


def test_a_config_of_nothing_is_a_member_on_the_usual_ports() -> None:
    config = Config()
    assert config.listen_client_urls == ("http://localhost:2379",)
    assert config.initial_advertise_peer_urls == ("http://localhost:2380",)
    assert config.data_path == Path("default.etcd")
    assert config.wal_path == Path("default.etcd/member/wal")
    assert config.snap_path == Path("default.etcd/member/snap")
    assert (config.election_ticks, config.request_timeout_s) == (10, 7.0)
    assert config.server_version == Version(3, 6, 0)


def test_what_is_advertised_follows_what_is_listened_on() -> None:
    config = Config(
        name="a",
        listen_client_urls=("http://127.0.0.1:0",),
        listen_peer_urls=("http://127.0.0.1:1",),
    )
    assert config.advertise_client_urls == ("http://127.0.0.1:0",)
    assert config.initial_advertise_peer_urls == ("http://127.0.0.1:1",)
    assert config.data_path == Path("a.etcd")


def test_url_lists_may_be_written_in_any_way() -> None:
    urls: Any = "http://127.0.0.1:2,http://127.0.0.1:1"
    assert Config(listen_client_urls=urls).listen_client_urls == (
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    )


def test_zero_stands_for_the_default_where_etcd_says_so() -> None:
    config = Config(
        snapshot_count=0,
        snapshot_catchup_entries=0,
        backend_batch_interval_s=0,
        backend_batch_limit=0,
        compaction_batch_limit=0,
        compaction_sleep_interval_s=0,
        watch_progress_notify_interval_s=0,
        max_concurrent_streams=0,
    )
    assert config == Config()


def test_progress_is_not_notified_more_often_than_ten_times_a_second() -> None:
    config = Config(watch_progress_notify_interval_s=0.001)
    assert config.watch_progress_notify_interval_s == 0.1


def test_the_quota_is_two_gib_unless_given_and_none_when_negative() -> None:
    assert Config().quota_bytes == 2 * 1024**3
    assert Config(quota_backend_bytes=5).quota_bytes == 5
    assert Config(quota_backend_bytes=-1).quota_bytes is None


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"heartbeat_interval_ms": 0}, "--heartbeat-interval must be >0 (set to 0ms)"),
        ({"election_timeout_ms": 0}, "--election-timeout must be >0 (set to 0ms)"),
        (
            {"election_timeout_ms": 400},
            "--election-timeout[400ms] should be at least as 5 times as "
            "--heartbeat-interval[100ms]",
        ),
        (
            {"election_timeout_ms": 60_000},
            "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
        ),
        (
            {"listen_client_urls": ("http://foo:1",)},
            "expected IP in URL for binding (http://foo:1)",
        ),
        (
            {"listen_client_urls": ("http://:2379",)},
            "expected IP in URL for binding (http://:2379)",
        ),
        (
            {"advertise_client_urls": ("http://:1",)},
            '--advertise-client-urls "http://:1" must be "host:port" '
            "(unexpected empty host (http://:1))",
        ),
        (
            {"initial_advertise_peer_urls": ("http://:2380",)},
            '--initial-advertise-peer-urls "http://:2380" must be "host:port" '
            "(unexpected empty host (http://:2380))",
        ),
        (
            {"listen_client_urls": ("https://127.0.0.1:1",)},
            "--listen-client-urls with scheme https (https://127.0.0.1:1) is not supported by "
            "this version of Kvorum",
        ),
        (
            {"listen_peer_urls": ("unix://p.sock",)},
            "--listen-peer-urls with scheme unix (unix://p.sock) is not supported by this "
            "version of Kvorum",
        ),
        ({"initial_cluster_state": "old"}, 'unexpected clusterState "old"'),
        (
            {"lease_checkpoint_persist": True},
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
            "LeaseCheckpoint",
        ),
        ({"emulated_version": "3.8"}, None),
        ({"max_txn_ops": -1}, "--max-txn-ops must not be negative"),
        ({"backend_batch_interval_s": -0.5}, "--backend-batch-interval must not be negative"),
        ({"log_level": "loud"}, 'unrecognized level: "loud"'),
        ({"log_format": "x"}, "unknown log format: x, supported values json, console"),
        (
            {"log_outputs": ("default", "stderr")},
            'multi logoutput for "default" is not supported yet',
        ),
        ({"listen_client_urls": ("foo",)}, None),
        ({"log_outputs": ("stdout", "systemd/journal")}, None),
    ],
)
def test_what_cannot_be_is_refused_in_etcds_words(
    wrong: dict[str, Any], refusal: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**wrong)
    assert refusal is None or str(caught.value) == refusal


def test_addresses_of_both_families_may_be_bound() -> None:
    config = Config(listen_client_urls=("http://[::1]:1", "http://0.0.0.0:2"))
    assert len(config.listen_client_urls) == 2
