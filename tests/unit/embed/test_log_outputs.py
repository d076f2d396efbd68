"""Where a log goes: several outputs, rotated ones, the journal; its level; what stays secret."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvorum.embed import logging as logging_module
from kvorum.embed.log_journal import Journal
from kvorum.embed.log_rotation import LOG_ROTATION
from kvorum.embed.logging import check_log_settings, open_log
from kvorum.errors import ConfigError
from kvorum.server.log import Level
from tests.servers import start_server


@dataclass
class Settings:
    log_outputs: Sequence[str] = ("default",)
    enable_log_rotation: bool = False
    log_rotation_config_json: str = LOG_ROTATION
    log_level: str = "info"
    log_format: str = "json"


def test_one_of_several_outputs_may_be_rotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "etcd.log"
    text = '{"maxsize": 1, "maxbackups": 2}'
    log = open_log(Settings((str(path), "stderr"), True, text))
    for number in range(2500):
        log.logger.info(f"{number:04}" + "x" * 996)  # of equal ones not all are written
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 1 << 20 for file in files)
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(lines) == len(capsys.readouterr().err.splitlines()) == 2500


SINGLE = "--log-outputs requires a single file path when --log-rotate-config-json is defined"


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        (Settings(enable_log_rotation=True), SINGLE),
        (Settings(("stderr",), True), SINGLE),
        (Settings(("/x/a", "/x/b"), True), SINGLE),
        (Settings(("/x/a",), True, "{"), "improperly formatted log rotation config: unexpected"),
        (Settings(("default", "/x/a")), 'multi logoutput for "default" is not supported yet'),
        (
            Settings(("systemd/journal", "stderr")),
            "running with systemd/journal but other '--log-outputs' values "
            "([\"stderr\" \"systemd/journal\"]) are configured with 'default'; override 'default' "
            "value with something else",
        ),
    ],
    ids=str,
)
def test_outputs_that_do_not_go_together_are_refused(settings: Settings, refusal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_log_settings(settings)
    assert str(caught.value).startswith(refusal)


def test_the_rotation_is_not_looked_at_unless_it_is_on() -> None:
    settings = Settings(log_rotation_config_json="nonsense")
    check_log_settings(settings)
    open_log(settings).close()


def test_without_a_journal_the_journal_is_refused_in_stocks_words(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with pytest.raises(ConfigError) as caught:
        Journal(str(path))
    assert str(caught.value) == (
        f"can't find journal (dial unixgram {path}: connect: no such file or directory)"
    )


def fields_of(datagram: bytes) -> dict[str, str]:
    """What an entry for the journal holds."""
    found = {}
    while datagram:
        head, _, rest = datagram.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        found[name.decode()] = value.decode()
        datagram = rest
    return found


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warn", 4), ("error", 3), ("fatal", 2)]
)
def test_the_journal_gets_the_line_with_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, priority: int
) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(path)
        monkeypatch.setattr(logging_module, "Journal", lambda: Journal(path))
        log = open_log(Settings(("systemd/journal",), log_level="debug"))
        getattr(log.logger, level)("two\nlines", a=1)
        fields = fields_of(journald.recv(1 << 20))
        log.close()
    assert json.loads(fields.pop("MESSAGE"))["msg"] == "two\nlines"
    assert fields == {
        "PRIORITY": str(priority),
        "PACKAGE": "embed",
        "SYSLOG_IDENTIFIER": Path(sys.argv[0]).name,
    }


def test_what_the_journal_does_not_take_goes_to_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(path)
        monkeypatch.setattr(logging_module, "Journal", lambda: Journal(path))
        log = open_log(Settings(("systemd/journal",)))
    log.logger.info("nobody is there")
    log.close()
    assert json.loads(capsys.readouterr().err)["msg"] == "nobody is there"


def test_the_level_can_be_changed_for_a_logger_and_all_that_come_of_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(Settings((str(path),)))
    part = log.logger.named("raft").bound(member="m1")
    part.debug("not yet")
    log.logger.set_level(Level.DEBUG)
    part.debug("now")
    part.set_level(Level.ERROR)
    log.logger.warn("no more")
    log.close()
    assert [json.loads(line)["msg"] for line in path.read_text().splitlines()] == ["now"]


def test_secrets_of_the_command_line_are_in_no_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    flags = [f"--log-outputs={path}", "--log-level=debug", "--discovery-password=s3cret1"]
    env = {"ETCD_DISCOVERY_TOKEN": "s3cret2", "ETCD_FOO_PASSWORD": "s3cret3"}
    with start_server(extra_flags=flags, env=env, wait=False) as server:
        server.wait_exit()
        text = server.log_text() + (path.read_text() if path.exists() else "")
    assert "discovery-password" in text
    assert "s3cret" not in text


def test_a_hangup_ends_the_process_as_it_ends_stock() -> None:
    with start_server() as server:
        os.kill(server.pid, signal.SIGHUP)
        assert server.wait_exit() == -signal.SIGHUP
