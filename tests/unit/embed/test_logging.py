from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest

from kvorum.embed.logging import early_logger, encode_console, encode_json, open_log, stdlib_logger
from kvorum.errors import ConfigError
from kvorum.server.log import NO_LOG, Event, Level, Logger


@dataclass
class Settings:
    log_level: str = "info"
    log_format: str = "json"
    log_outputs: Sequence[str] = field(default_factory=lambda: ("default",))
    enable_log_rotation: bool = False
    log_rotation_config_json: str = ""


def event(**fields: object) -> Event:
    return Event(Level.INFO, "", "embed/member.py:7", "ready", fields, "")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_etcds_keys_in_etcds_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(Settings(log_outputs=(str(path),)))
    log.logger.named("raft").info("became leader", local_member_id="8e9e", term=2, ok=True)
    log.close()
    (line,) = lines(path)
    assert list(line) == [
        "level",
        "ts",
        "logger",
        "caller",
        "msg",
        "local-member-id",
        "term",
        "ok",
    ]
    assert (line["level"], line["msg"], line["term"], line["ok"]) == (
        "info",
        "became leader",
        2,
        True,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(line["ts"]))
    assert re.fullmatch(r"embed/test_logging\.py:\d+", str(line["caller"]))


def test_lines_below_the_level_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(Settings("warn", log_outputs=(str(path),)))
    log.logger.debug("a")
    log.logger.info("b")
    log.logger.warn("c")
    log.logger.error("d")
    log.close()
    assert [line["msg"] for line in lines(path)] == ["c", "d"]
    assert not log.logger.takes(Level.INFO, "e")


def test_of_many_lines_alike_in_a_second_a_hundredth_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr("kvorum.server.log.time.monotonic", lambda: now_s)
    path = tmp_path / "log"
    log = open_log(Settings(log_outputs=(str(path),)))
    part = log.logger.named("part")
    for number in range(301):
        (log.logger if number % 2 else part).warn("slow", number=number)
    part.warn("another")
    now_s += 1
    part.warn("slow", number=301)
    log.close()
    written = [line.get("number") for line in lines(path)]
    assert written == [*range(100), 199, 299, None, 301]


def test_errors_carry_the_stack_of_their_cause(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(Settings(log_outputs=(str(path),)))
    try:
        raise OSError(28, "No space left on device")
    except OSError as error:
        log.logger.error("could not save", error=error)
    log.close()
    (line,) = lines(path)
    assert line["error"] == "[Errno 28] No space left on device"
    assert str(line["stacktrace"]).startswith("test_errors_carry_the_stack_of_their_cause\n\t")
    assert list(line)[-1] == "stacktrace"


def test_secrets_are_blanked_whatever_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(Settings(log_outputs=(str(path),)))
    log.logger.bound(token="t0p").info("x", password="s3cret", hashed_password=b"h", name="n")
    log.close()
    text = path.read_text()
    assert "s3cret" not in text
    assert "t0p" not in text
    assert lines(path)[0]["name"] == "n"


def test_values_of_any_type_are_written() -> None:
    line = json.loads(
        encode_json(event(urls=("a", "b"), error=ValueError("bad\udc80"), at={1: Path("/x")}))
    )
    assert line["urls"] == ["a", "b"]
    assert line["error"] == "bad?"
    assert line["at"] == {"1": "/x"}


def test_a_field_does_not_hide_a_key_of_the_line() -> None:
    line = json.loads(encode_json(event(msg="other", level=3)))
    assert (line["msg"], line["level"], line["msg_"]) == ("ready", "info", "other")


def test_a_line_stays_a_line_whatever_is_in_it() -> None:
    assert "\n" not in encode_json(event(a="x\ny"))


def test_the_console_form_is_parted_by_tabs() -> None:
    parts = encode_console(event(a=1)).split("\t")
    assert parts[1:] == ["info", "embed/member.py:7", "ready", '{"a":1}']


def test_several_files_get_the_same_lines_and_are_appended_to(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for _ in range(2):
        log = open_log(Settings(log_outputs=[str(path) for path in paths]))
        log.logger.info("hello")
        log.close()
    assert [len(lines(path)) for path in paths] == [2, 2]
    assert paths[0].read_text() == paths[1].read_text()


def test_the_default_output_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(Settings(log_format="console"))
    log.logger.info("hello")
    log.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("\thello\n")


def test_stdout_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(Settings(log_outputs=("stdout",))).logger.info("hello")
    assert json.loads(capsys.readouterr().out)["msg"] == "hello"


def test_a_file_that_cannot_be_opened_is_refused_in_stocks_words(tmp_path: Path) -> None:
    path = tmp_path / "no" / "x.log"
    for output, reason in ((str(path), f"open {path}: "), ("", "open : ")):
        with pytest.raises(ConfigError) as caught:
            open_log(Settings(log_outputs=(output,)))
        assert str(caught.value) == (
            f'couldn\'t open sink "{output}": {reason}no such file or directory'
        )


def test_a_log_that_cannot_be_written_does_not_end_the_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    logger = early_logger()
    logger.info("into nothing")
    assert logger.takes(Level.INFO, "still")


def test_libraries_log_into_the_members_log_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    library = logging.getLogger("h2corn")
    library.setLevel(logging.DEBUG)
    log = open_log(Settings("info", log_outputs=(str(path),)))
    log.route_libraries(["h2corn"])
    library.info("bound to %s", "127.0.0.1:1")
    library.debug("noise")
    library.warning("bad format %d", "x")
    log.close()
    library.info("later")
    first, second = lines(path)
    assert (first["logger"], first["msg"]) == ("h2corn", "bound to 127.0.0.1:1")
    assert str(first["caller"]).startswith("embed/test_logging.py:")
    assert second["level"] == "warn"
    assert library.propagate
    assert not library.handlers


def test_an_embedded_member_logs_into_the_programs_own_logging(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "kvorum"):
        stdlib_logger().warn("disk is slow", took_ms=12)
    assert caplog.record_tuples == [("kvorum", logging.WARNING, 'disk is slow {"took-ms":12}')]


def test_a_part_has_a_name_and_common_fields() -> None:
    seen: list[Event] = []
    logger = Logger(seen.append).named("a").named("b").bound(member="m1")
    logger.fatal("x", reason="y", from_="z")
    assert seen[0].logger == "a.b"
    assert dict(seen[0].fields) == {"member": "m1", "reason": "y", "from": "z"}
    assert seen[0].stack
    NO_LOG.info("nothing")
