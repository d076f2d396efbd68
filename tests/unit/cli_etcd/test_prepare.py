"""What a start prints and logs before there is a member."""

from __future__ import annotations

import json

import pytest

from kvorum.cli.etcd.prepare import log_start_failure, prepare
from kvorum.server.log import Event, Level, Logger


def lines(text: str) -> list[tuple[str, str]]:
    return [(line["level"], line["msg"]) for line in map(json.loads, text.splitlines())]


def test_a_start_is_logged_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    config, log = prepare("etcd", ["--name=a"], {"ETCD_DISCOVERY_PASSWORD": ""})
    log.close()
    captured = capsys.readouterr()
    assert config.name == "a"
    assert captured.out == ""
    assert lines(captured.err) == [
        ("info", "Running: "),
        ("warn", "'data-dir' was empty; using default"),
    ]
    assert json.loads(captured.err.splitlines()[0])["args"] == ["etcd", "--name=a"]


def test_the_log_is_the_configured_one(capsys: pytest.CaptureFixture[str]) -> None:
    prepare("etcd", ["--log-outputs=stdout", "--log-format=console", "--data-dir=x"], {})
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.endswith(
        '\tRunning: \t{"args":["etcd","--log-outputs=stdout",'
        '"--log-format=console","--data-dir=x"]}\n'
    )


def test_a_wrong_configuration_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        prepare("etcd", ["--listen-client-urls=http://127.0.0.1:1"], {})
    assert caught.value.code == 1
    assert lines(capsys.readouterr().err) == [
        ("info", "Running: "),
        ("warn", "failed to verify flags"),
        ("warn", "advertise client URLs are not set"),
    ]


def test_a_log_that_cannot_be_opened_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        prepare("etcd", ["--log-outputs=/nonexistent/x.log"], {})
    assert caught.value.code == 1
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert last["error"] == (
        'couldn\'t open sink "/nonexistent/x.log": open /nonexistent/x.log: '
        "no such file or directory"
    )


def test_a_wrong_flag_ends_with_2_and_no_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        prepare("etcd", ["--nosuch"], {})
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("flag provided but not defined: -nosuch\nUsage:\n")


def test_the_version_is_printed_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        prepare("etcd", ["--version"], {})
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("etcd Version: ")
    assert captured.err == ""


def test_a_shadowed_variable_is_fatal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        prepare("etcd", ["--name=a"], {"ETCD_NAME": "b"})
    assert caught.value.code == 1
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["level"], line["environment-variable"]) == ("fatal", "ETCD_NAME")


def test_a_failed_start_is_told_in_stocks_two_lines() -> None:
    seen: list[Event] = []
    error = OSError("listen tcp 127.0.0.1:2380: bind: address already in use")
    assert log_start_failure(Logger(seen.append), error) == 1
    assert [(event.level, event.message) for event in seen] == [
        (Level.WARN, "failed to start etcd"),
        (Level.FATAL, "discovery failed"),
    ]
    assert {str(event.fields["error"]) for event in seen} == {str(error)}


def test_what_the_system_refused_is_told_without_the_words_of_python() -> None:
    seen: list[Event] = []
    log_start_failure(Logger(seen.append), NotADirectoryError(20, "Not a directory", "/a/wal"))
    assert [dict(one.fields)["error"] for one in seen] == ["/a/wal: not a directory"] * 2
