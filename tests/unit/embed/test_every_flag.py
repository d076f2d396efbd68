"""Every flag, as flag, as variable and as key of the file: a right value and a wrong one each.

That the texts are stock's is seen by running 3.5.1 with the same wrong values.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kvorum.cli.etcd.flags import Exit, load
from kvorum.embed.config import Config
from kvorum.embed.config_file import NO_KEYS
from kvorum.embed.config_flag import Flag, Kind
from kvorum.embed.config_table import SUPPORTED
from kvorum.embed.config_table_later import FLAGS, NOT_YET
from kvorum.errors import ConfigError
from kvorum.server.log import NO_LOG
from tests.stock import require_stock_35
from tests.unit.embed.flag_values import SPECIAL, WRONG_IN_FILE, Case, case_of

WITHOUT_FIELD = {"feature-gates"}
"""Tested by itself, in test_config_table."""
OLD_NAMES = [flag for flag in FLAGS.values() if flag.replaced_by]
VALUED = [
    flag for flag in (*SUPPORTED, *OLD_NAMES) if flag.field and flag.name not in WITHOUT_FIELD
]
NEEDED_WITH: dict[str, list[str]] = {
    "discovery-token": ["--discovery-endpoints=http://h:1"],
    "discovery-endpoints": ["--discovery-token=t"],
    "listen-client-urls": ["--advertise-client-urls=http://127.0.0.1:7"],
    "auto-compaction-mode": ["--auto-compaction-retention=10"],
    "enable-log-rotation": ["--log-outputs=/x/etcd.log"],
}
"""What must be given besides, for a right value."""
STOCK_S = 10


def name_of(flag: Flag) -> str:
    return flag.name


def config(*argv: str, **environ: str) -> Config:
    return load(argv, environ, NO_LOG)


def plain_name(flag: Flag) -> str:
    return flag.replaced_by or flag.name


def refusal_of(*argv: str, **environ: str) -> tuple[int, str]:
    """Exit code and first line of what is said."""
    try:
        load(argv, environ, NO_LOG)
    except Exit as leave:
        return leave.code, leave.stderr.splitlines()[0]
    except ConfigError as error:
        return 1, str(error)
    return 0, ""


def wrong_by_flag(flag: Flag, case: Case) -> tuple[int, str]:
    if case.whole:
        return 1, case.refusal
    if flag.kind is Kind.BOOL:
        return 2, f'invalid boolean value "{case.wrong}" for -{flag.name}: {case.refusal}'
    return 2, f'invalid value "{case.wrong}" for flag -{flag.name}: {case.refusal}'


def test_every_supported_flag_has_its_values_here() -> None:
    for flag in VALUED:
        assert case_of(flag).value != flag.parse(flag.default), flag.name
    assert {plain_name(flag) for flag in VALUED} >= set(SPECIAL)


@pytest.mark.parametrize("flag", VALUED, ids=name_of)
def test_a_right_value_is_taken_from_flag_variable_and_file(flag: Flag, tmp_path: Path) -> None:
    case = case_of(flag)
    more = NEEDED_WITH.get(plain_name(flag), [])
    by_flag = config(f"--{flag.name}={case.text}", *more)
    assert getattr(by_flag, flag.field) == case.value
    assert config(*more, **{flag.variable: case.text}) == by_flag
    if case.key is None or flag.name in NO_KEYS:
        return
    path = tmp_path / "etcd.yml"
    besides = "".join(f"{one[2:].replace('=', ': ', 1)}\n" for one in more)
    besides = besides.replace(": 10", ": '10'").replace(": /x/etcd.log", ": [/x/etcd.log]")
    path.write_text(f"{flag.name}: {case.key}\n{besides}")
    assert getattr(config(f"--config-file={path}"), flag.field) == case.value


@pytest.mark.parametrize("flag", VALUED, ids=name_of)
def test_a_wrong_value_is_refused_with_the_reason(flag: Flag) -> None:
    case = case_of(flag)
    if not case.refusal:
        assert refusal_of(f"--{flag.name}") == (2, f"flag needs an argument: -{flag.name}")
        return
    assert refusal_of(f"--{flag.name}={case.wrong}") == wrong_by_flag(flag, case)
    text = f'invalid value "{case.wrong}" for {flag.variable}: {case.refusal}'
    expected = case.refusal if case.whole else text
    assert refusal_of(**{flag.variable: case.wrong}) == (1, expected)


def wrong_in_file(flag: Flag) -> tuple[str, str]:
    """A line of a file with a value of the wrong type, and the refusal."""
    yaml, shown = WRONG_IN_FILE.get(flag.kind, ("7", "number"))
    return f"{flag.name}: {yaml}\n", (
        f"error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {shown} into Go "
        f"struct field configYAML.{flag.name} of type {flag.kind.go_type}"
    )


@pytest.mark.parametrize("flag", VALUED, ids=name_of)
def test_a_value_of_the_wrong_type_in_the_file_is_refused(flag: Flag, tmp_path: Path) -> None:
    path = tmp_path / "etcd.yml"
    line, refusal = wrong_in_file(flag)
    path.write_text(line)
    expected = (0, "") if flag.name in NO_KEYS else (1, refusal)
    assert refusal_of(f"--config-file={path}") == expected


@pytest.mark.parametrize("flag", NOT_YET, ids=name_of)
def test_a_flag_without_effect_takes_what_changes_nothing_and_no_more(flag: Flag) -> None:
    for text in (flag.default, *flag.inert):
        assert (
            config(f"--{flag.name}={text}")
            == config(**{flag.variable: text})
            == Config(initial_cluster="default=http://localhost:2380")
        )
    other = {Kind.BOOL: "true", Kind.CHOICE: "proxy", Kind.FLAG_DURATION: "77s"}.get(
        flag.kind, "77"
    )
    if other in (flag.default, *flag.inert):
        return
    code, said = refusal_of(f"--{flag.name}={other}")
    assert code == 1
    assert refusal_of(**{flag.variable: other}) == (1, said)
    assert flag.name in said or "logger" in said


def stock(*argv: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code of stock's server and what it says is wrong."""
    done = subprocess.run(
        [str(require_stock_35().etcd), *argv],
        env=env or {},
        capture_output=True,
        text=True,
        timeout=STOCK_S,
        check=False,
    )
    lines = done.stderr.splitlines()
    if done.returncode == 2:
        return 2, lines[0]
    events: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
    return done.returncode, next(event["error"] for event in events if "error" in event)


NOT_IN_35 = {
    "auto-compaction-retention",  # 3.5.1 looks at it when its ports are bound already
    "log-format",  # since 3.6
    "distributed-tracing-sampling-rate",
    "metrics",  # 3.5.1 takes any
    "log-level",  # 3.5.1 ends in a panic: unrecognized level: "x"
    "auto-compaction-mode",  # of 3.5.1 another text, later than the start
    "max-concurrent-streams",
    "emulated-version",
    "initial-cluster-state",  # 3.5.1 says `invalid value "x"` without what may be
    "v2-deprecation",
}


def in_stock(flag: Flag) -> bool:
    usage = _usage()
    return f"--{flag.name} " in usage and plain_name(flag) not in NOT_IN_35


def _usage() -> str:
    return subprocess.run(
        [str(require_stock_35().etcd), "--help"], capture_output=True, text=True, check=True
    ).stdout.replace("\n", " \n")


@pytest.mark.slow
def test_stock_says_the_same_of_the_same_wrong_values(tmp_path: Path) -> None:
    compared = 0
    for flag in VALUED:
        case = case_of(flag)
        if not case.refusal or not in_stock(flag):
            continue
        assert stock(f"--{flag.name}={case.wrong}") == wrong_by_flag(flag, case), flag.name
        compared += 1
    assert compared > 30


@pytest.mark.slow
def test_stock_says_the_same_of_wrong_types_in_the_file(tmp_path: Path) -> None:
    compared = 0
    path = tmp_path / "etcd.yml"
    for flag in VALUED:
        if flag.name in NO_KEYS or not in_stock(flag):
            continue
        line, refusal = wrong_in_file(flag)
        path.write_text(line)
        assert stock(f"--config-file={path}") == (1, refusal), flag.name
        compared += 1
    assert compared > 40
