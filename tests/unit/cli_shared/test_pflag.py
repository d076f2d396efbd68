"""Flags in all their forms; error texts are pflag's."""

from __future__ import annotations

from typing import Any

import pytest

from kvorum.cli.shared.pflag import (
    BOOL,
    DURATION,
    INT64,
    STRING,
    STRINGS,
    Flag,
    FlagError,
    FlagSet,
)

FLAGS = [
    Flag(name="prefix", kind=BOOL, default=False),
    Flag(name="interactive", kind=BOOL, default=False, shorthand="i"),
    Flag(name="limit", kind=INT64, default=0),
    Flag(name="write-out", kind=STRING, default="simple", shorthand="w"),
    Flag(name="timeout", kind=DURATION, default=5),
    Flag(name="endpoints", kind=STRINGS, default=["d"]),
]


def parse(*line: str) -> FlagSet:
    flag_set = FlagSet.of(FLAGS)
    flag_set.parse(line)
    return flag_set


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (["--limit", "5"], "limit", 5),
        (["--limit=5"], "limit", 5),
        (["--limit=0x10"], "limit", 16),
        (["--limit=-1"], "limit", -1),
        (["--prefix"], "prefix", True),
        (["--prefix=false"], "prefix", False),
        (["--prefix", "--prefix=0"], "prefix", False),
        (["-w", "json"], "write-out", "json"),
        (["-wjson"], "write-out", "json"),
        (["-w=json"], "write-out", "json"),
        (["-w="], "write-out", "="),
        (["-iwjson"], "write-out", "json"),
        (["-iw", "json"], "interactive", True),
        (["-i=false"], "interactive", False),
        (["--write-out", "--limit"], "write-out", "--limit"),
        (["--timeout=1.5s"], "timeout", 1_500_000_000),
        (["--endpoints=a,b"], "endpoints", ["a", "b"]),
        (["--endpoints=a", "--endpoints", "b,c"], "endpoints", ["a", "b", "c"]),
        (["--endpoints="], "endpoints", []),
        (['--endpoints="a,b",c'], "endpoints", ["a,b", "c"]),
        ([], "endpoints", ["d"]),
    ],
)
def test_a_flag_has_the_value_it_was_given(line: list[str], name: str, value: Any) -> None:
    assert parse(*line).values[name] == value


def test_flags_and_arguments_may_be_mixed_until_two_dashes() -> None:
    flag_set = parse("a", "--prefix", "-", "b", "--", "--limit", "c", "--")
    assert flag_set.arguments == ["a", "-", "b", "--limit", "c", "--"]
    assert flag_set.arguments_count_at_dash == 3
    assert flag_set.changed == {"prefix"}
    assert parse("a").arguments_count_at_dash is None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (["--nosuch"], "unknown flag: --nosuch"),
        (["--nosuch=5"], "unknown flag: --nosuch"),
        (["--lim", "5"], "unknown flag: --lim"),
        (["--limit"], "flag needs an argument: --limit"),
        (["-w"], "flag needs an argument: 'w' in -w"),
        (["-iw"], "flag needs an argument: 'w' in -w"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-ixw"], "unknown shorthand flag: 'x' in -xw"),
        (["-prefix"], "unknown shorthand flag: 'p' in -prefix"),
        (["---x"], "bad flag syntax: ---x"),
        (["--=x"], "bad flag syntax: --=x"),
        (["-=x"], "unknown shorthand flag: '=' in -=x"),
        (
            ["--limit=x"],
            'invalid argument "x" for "--limit" flag: '
            'strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ["-i=x"],
            'invalid argument "x" for "-i, --interactive" flag: '
            'strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (
            ["--timeout=5"],
            'invalid argument "5" for "--timeout" flag: time: missing unit in duration "5"',
        ),
    ],
)
def test_errors_are_pflags(line: list[str], error: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(*line)
    assert str(caught.value) == error


def test_a_list_of_strings_that_is_no_csv_is_refused() -> None:
    with pytest.raises(FlagError, match="invalid argument"):
        parse('--endpoints=a,"b')


def test_values_are_shown_as_go_shows_them() -> None:
    assert BOOL.show(True) == "true"
    assert DURATION.show(5_000_000_000) == "5s"
    assert STRINGS.show(["a", "b"]) == "[a,b]"


def test_flags_that_must_be_given_are_named_when_they_are_not() -> None:
    required = [
        Flag(name=name, kind=STRING, default="", required=True) for name in ("to", "from", "via")
    ]
    flag_set = FlagSet.of(required)
    flag_set.parse(["--via="])
    with pytest.raises(FlagError) as caught:
        flag_set.check_required()
    assert str(caught.value) == 'required flag(s) "from", "to" not set'
    flag_set.parse(["--from=a", "--to", "b"])
    flag_set.check_required()
    assert flag_set.values == {"from": "a", "to": "b", "via": ""}
