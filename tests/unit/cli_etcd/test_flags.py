"""The command line and the environment: texts, streams and exit codes are those of stock 3.5.1."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvorum.cli.etcd.flags import (
    Exit,
    ShadowedVariableError,
    load,
    parse_command_line,
    safe_args,
)
from kvorum.cli.etcd.help import USAGE, help_text, version_text
from kvorum.embed.config import Config
from kvorum.embed.config_cluster import founding_cluster
from kvorum.embed.config_table import SUPPORTED
from kvorum.embed.config_table_later import NOT_YET
from kvorum.errors import ConfigError
from kvorum.server.log import NO_LOG, Event, Logger


def config(*argv: str, **environ: str) -> Config:
    return load(argv, environ, NO_LOG)


def logged(*argv: str, **environ: str) -> list[Event]:
    seen: list[Event] = []
    load(argv, environ, Logger(seen.append))
    return seen


@pytest.mark.parametrize(
    ("argv", "refusal"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["--nosuch=3"], "flag provided but not defined: -nosuch"),
        (["--debug"], "flag provided but not defined: -debug"),
        (["--enable-v2"], "flag provided but not defined: -enable-v2"),
        (["---x"], "bad flag syntax: ---x"),
        (["--=3"], "bad flag syntax: --=3"),
        (["--name"], "flag needs an argument: -name"),
        (["--config-file"], "flag needs an argument: -config-file"),
        (["--max-wals=x"], 'invalid value "x" for flag -max-wals: parse error'),
        (["--max-wals="], 'invalid value "" for flag -max-wals: parse error'),
        (["--max-snapshots", "-1"], 'invalid value "-1" for flag -max-snapshots: parse error'),
        (
            ["--snapshot-count=99999999999999999999"],
            'invalid value "99999999999999999999" for flag -snapshot-count: value out of range',
        ),
        (["--quota-backend-bytes=1.5"], 'invalid value "1.5" for flag -quota-backend-bytes: parse'),
        (["--pre-vote=x"], 'invalid boolean value "x" for -pre-vote: parse error'),
        (["--pre-vote="], 'invalid boolean value "" for -pre-vote: parse error'),
        (["--version=x"], 'invalid boolean value "x" for -version: parse error'),
        (
            ["--grpc-keepalive-min-time=5"],
            'invalid value "5" for flag -grpc-keepalive-min-time: parse error',
        ),
        (
            ["--initial-cluster-state=x"],
            'invalid value "x" for flag -initial-cluster-state: invalid value "x"',
        ),
        (
            ["--max-concurrent-streams=x"],
            'invalid value "x" for flag -max-concurrent-streams: '
            'strconv.ParseUint: parsing "x": invalid syntax',
        ),
        (
            ["--max-concurrent-streams=4294967296"],
            'invalid value "4294967296" for flag -max-concurrent-streams: '
            'strconv.ParseUint: parsing "4294967296": value out of range',
        ),
        (
            ["--listen-client-urls=http://127.0.0.1:x"],
            'invalid value "http://127.0.0.1:x" for flag -listen-client-urls: '
            'parse "http://127.0.0.1:x": invalid port ":x" after host',
        ),
        (
            ["--advertise-client-urls=foo"],
            'invalid value "foo" for flag -advertise-client-urls: '
            "URL scheme must be http, https, unix, or unixs: foo",
        ),
        (["--version", "--max-wals=x"], 'invalid value "x" for flag -max-wals: parse error'),
    ],
)
def test_a_flag_of_wrong_syntax_is_told_with_the_usage_and_exit_code_2(
    argv: list[str], refusal: str
) -> None:
    with pytest.raises(Exit) as caught:
        config(*argv)
    assert caught.value.stderr.startswith(refusal)
    assert caught.value.stderr.endswith(f"\n{USAGE}")
    assert (caught.value.code, caught.value.stdout) == (2, "")


@pytest.mark.parametrize(
    ("argv", "refusal"),
    [
        (["bogus"], '"bogus" is not a valid flag'),
        (["--version", "x"], '"x" is not a valid flag'),
        (["--pre-vote", "false"], '"false" is not a valid flag'),
        (["-"], '"-" is not a valid flag'),
        (["--", "--name=a"], '"--name=a" is not a valid flag'),
        (
            ["--listen-client-urls=http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (["--auto-compaction-mode=x"], 'unknown auto-compaction-mode "x"'),
        (["--logger=capnslog"], "--logger=capnslog is removed in v3.5"),
        (["--logger=x"], 'unknown logger option "x"'),
        (["--log-outputs=default,stderr"], 'multi logoutput for "default" is not supported yet'),
        (["--config-file=/nope"], "open /nope: no such file or directory"),
        (["--cert-file=a"], "--cert-file is not supported by this version of Kvorum"),
        (["--auto-tls"], "--auto-tls is not supported by this version"),
        (["gateway", "start"], "etcd gateway is not supported by this version of Kvorum"),
    ],
)
def test_what_else_is_wrong_is_a_configuration_error(argv: list[str], refusal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(*argv)
    assert str(caught.value).startswith(refusal)


def test_flags_are_written_in_any_of_gos_ways() -> None:
    made = config("-name", "a", "--max-wals=0x10", "-pre-vote=F", "--unsafe-no-fsync", "--")
    assert (made.name, made.max_wals, made.pre_vote, made.unsafe_no_fsync) == ("a", 16, False, True)


def test_a_value_may_hold_an_equals_sign_and_look_like_a_flag() -> None:
    made = config("--initial-cluster", "default=http://a:1", "--name=--x")
    assert (made.initial_cluster, made.name) == ("default=http://a:1", "--x")


def test_the_last_of_a_repeated_flag_counts() -> None:
    assert config("--name=a", "--name", "b").name == "b"


def test_the_initial_cluster_follows_the_name_unless_given() -> None:
    assert config().initial_cluster == "default=http://localhost:2380"
    assert config("--name=a").initial_cluster == ""
    assert config("--name=a", "--initial-cluster=a=http://h:1").initial_cluster == "a=http://h:1"


def test_an_initial_cluster_that_is_given_empty_names_nobody() -> None:
    """Who forgot to fill it in would found a cluster of one for each member."""
    with pytest.raises(ConfigError, match="couldn't find local name"):
        founding_cluster(config("--name=a", "--initial-cluster="))


def test_an_empty_list_of_urls_changes_nothing() -> None:
    given = ("--listen-peer-urls=http://127.0.0.1:1", "--initial-advertise-peer-urls=http://a:1")
    empty = ("--listen-peer-urls=", "--initial-advertise-peer-urls", "")
    assert config(*given, *empty) == config(*given)
    assert config(*empty) == config()


def test_advertised_urls_keep_stocks_defaults_when_not_given() -> None:
    made = config("--listen-peer-urls=http://127.0.0.1:1")
    assert made.initial_advertise_peer_urls == ("http://localhost:2380",)


def test_flags_of_long_ago_are_taken_and_do_nothing() -> None:
    assert config("-v", "--config", "--cluster-active-size=3") == config()


def test_variables_set_flags_and_empty_ones_do_not() -> None:
    made = config(ETCD_NAME="env", ETCD_HEARTBEAT_INTERVAL="50", ETCD_MAX_WALS="")
    assert (made.name, made.heartbeat_interval_ms, made.max_wals) == ("env", 50, 5)


def test_a_variable_is_told_when_it_is_used_and_when_nobody_knows_it() -> None:
    events = logged(ETCD_NAME="env", ETCD_FOO="x", OTHER="y")
    assert [(event.message, dict(event.fields)) for event in events] == [
        (
            "recognized and used environment variable",
            {"variable-name": "ETCD_NAME", "variable-value": "env"},
        ),
        ("unrecognized environment variable", {"environment-variable": "ETCD_FOO=x"}),
    ]


def test_a_flag_and_its_variable_together_are_refused_even_when_equal() -> None:
    with pytest.raises(ShadowedVariableError) as caught:
        config("--name=x", ETCD_NAME="x")
    assert caught.value.variable == "ETCD_NAME"
    assert str(caught.value).startswith(
        "conflicting environment variable is shadowed by corresponding command-line flag"
    )


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("ETCD_MAX_WALS", "z", "parse error"),
        ("ETCD_PRE_VOTE", "maybe", "parse error"),
        (
            "ETCD_LISTEN_CLIENT_URLS",
            "foo",
            "URL scheme must be http, https, unix, or unixs: foo",
        ),
        ("ETCD_INITIAL_CLUSTER_STATE", "foo", 'invalid value "foo"'),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(variable: str, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**{variable: text})
    assert str(caught.value) == f'invalid value "{text}" for {variable}: {reason}'


def test_listening_by_a_variable_needs_an_advertised_url_too() -> None:
    with pytest.raises(ConfigError, match="--advertise-client-urls is required"):
        config(ETCD_LISTEN_CLIENT_URLS="http://127.0.0.1:1")


def test_the_version_variable_is_told_and_taken_away() -> None:
    environ = {"ETCD_VERSION": "1"}
    seen: list[Event] = []
    load([], environ, Logger(seen.append))
    assert [event.message for event in seen] == ["cannot set special environment variable"]
    assert environ == {}


def test_a_file_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yml"
    path.write_text("name: from-file\n")
    for made in (
        config(f"--config-file={path}", "--max-wals=1", ETCD_MAX_SNAPSHOTS="1", ETCD_NAME="x"),
        config("--max-wals=1", ETCD_CONFIG_FILE=str(path)),
    ):
        assert (made.name, made.max_wals, made.max_snapshots) == ("from-file", 5, 5)


def test_the_file_of_the_flag_comes_before_that_of_the_variable(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("name: a\n")
    made = config(f"--config-file={tmp_path / 'a'}", ETCD_CONFIG_FILE="/nope")
    assert made.name == "a"


def test_unknown_keys_of_a_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yml"
    path.write_text("nosuch: 1\n")
    first, second = logged(f"--config-file={path}")
    assert first.message.startswith("loaded server configuration, other configuration command line")
    assert second.fields["keys"] == ["nosuch"]


def test_bad_urls_of_a_file_end_the_program_without_a_log_line(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yml"
    path.write_text("listen-peer-urls: foo\n")
    with pytest.raises(Exit) as caught:
        config(f"--config-file={path}")
    assert caught.value.code == 1
    assert caught.value.stderr == (
        "unexpected error setting up listen-peer-urls: "
        "URL scheme must be http, https, unix, or unixs: foo\n"
    )


@pytest.mark.parametrize("flag", ["-h", "--help", "-help", "--help=false"])
def test_help_prints_the_usage_on_stderr_and_the_flags_on_stdout(flag: str) -> None:
    with pytest.raises(Exit) as caught:
        config(flag, "--nosuch")
    assert (caught.value.code, caught.value.stdout, caught.value.stderr) == (0, help_text(), USAGE)


def test_help_shows_every_supported_flag_with_its_default_and_names_the_others() -> None:
    text = help_text()
    for flag in SUPPORTED:
        assert f"  --{flag.name} '{flag.default}'\n    {flag.help[:30]}" in text
    later = text[text.index("Not supported by this version") :]
    assert all(f"--{flag.name}" in later for flag in NOT_YET if not flag.help)


def test_the_version_has_stocks_four_labels() -> None:
    with pytest.raises(Exit) as caught:
        config("--version")
    assert caught.value.code == 0
    labels = [line.split(": ")[0] for line in caught.value.stdout.splitlines()]
    assert labels == ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]
    assert caught.value.stdout == version_text()
    assert caught.value.stdout.startswith("etcd Version: 3.6.0\nGit SHA: kvorum-")


def test_secrets_are_blanked_in_the_arguments_that_are_logged() -> None:
    argv = ["--discovery-user=u:p", "--discovery-password=x", "--discovery-token", "y"]
    argv += ["--initial-cluster-token=z", "-v"]
    assert safe_args(argv) == [
        "--discovery-user=<redacted>",
        "--discovery-password=<redacted>",
        "--discovery-token",
        "<redacted>",
        "--initial-cluster-token=z",
        "-v",
    ]


@given(st.lists(st.text(max_size=12) | st.sampled_from(["--name", "-pre-vote", "--max-wals="])))
def test_any_arguments_are_read_or_refused(argv: list[str]) -> None:
    try:
        line = parse_command_line(argv)
    except Exit as leave:
        outcome = leave.code
    else:
        outcome = 0 if len(line.rest) <= len(argv) else 1
    assert outcome in {0, 2}
