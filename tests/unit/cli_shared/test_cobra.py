"""Which command a line names."""

from __future__ import annotations

import pytest

from kvorum.cli.etcdctl.root import ROOT
from kvorum.cli.shared.cobra import Group, find, flags_of
from kvorum.cli.shared.suggest import distance


@pytest.mark.parametrize(
    ("line", "path", "rest"),
    [
        ("get k", ("get",), "k"),
        ("--endpoints x get k", ("get",), "--endpoints x k"),
        ("--endpoints=x get k", ("get",), "--endpoints=x k"),
        ("-w json get k", ("get",), "-w json k"),
        ("-wjson get k", ("get",), "-wjson k"),
        ("--hex get k", ("get",), "--hex k"),
        ("lease grant 5", ("lease", "grant"), "5"),
        ("lease --hex grant 5", ("lease", "grant"), "--hex 5"),
        ("-w json lease -w fields grant 5", ("lease", "grant"), "-w json -w fields 5"),
        ("le gr 5", ("lease", "grant"), "5"),
        ("comp 5", ("compaction",), "5"),
        ("lease", ("lease",), ""),
        ("lease nosuch x", ("lease",), "nosuch x"),
        ("--write-out get get k", ("get",), "--write-out get k"),
        ("", (), ""),
        ("-w json", (), "-w json"),
        ("-- get k", (), "-- get k"),
    ],
)
def test_a_command_is_found_among_flags(line: str, path: tuple[str, ...], rest: str) -> None:
    found = find(ROOT, line.split())
    assert (found.path, found.line, found.unknown) == (path, rest.split(), None)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("nosuch", "nosuch"),
        ("nosuch get", "nosuch"),
        # A flag that is not global is taken to have a value, as cobra does.
        ("--prefix get nosuch", "nosuch"),
        ("member2 list", "member2"),
        ("user list", "user"),
        ("role list", "role"),
    ],
)
def test_a_word_that_names_no_command_is_told(line: str, word: str) -> None:
    assert find(ROOT, line.split()).unknown == word


def test_a_beginning_that_fits_two_commands_names_none() -> None:
    group = Group("g", "Group", {"alpha": "", "alps": ""})
    assert group.named("alp") is None
    assert group.named("alpha") == "alpha"
    assert group.named("alph") == "alpha"


def test_names_that_may_have_been_meant_are_those_near_and_those_that_begin_so() -> None:
    assert ROOT.suggestions("gett") == ["get"]
    assert ROOT.suggestions("putt") == ["put"]
    assert "watch" in ROOT.suggestions("wtch")
    assert ROOT.suggestions("entirely-else") == []


def test_every_command_can_be_loaded_and_no_flag_hides_a_global_one() -> None:
    global_names = {flag.name for flag in flags_of(ROOT)}
    seen = 0
    groups = [ROOT]
    while groups:
        group = groups.pop()
        for name in group._modules:
            command = group.child(name)
            seen += 1
            if isinstance(command, Group):
                groups.append(command)
            else:
                assert not global_names & {flag.name for flag in flags_of(command)}, name
    assert seen >= 24


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("get", "gte", 2), ("get", "get", 0)],
)
def test_distance_counts_letters_to_change(one: str, other: str, expected: int) -> None:
    assert distance(one, other) == distance(other, one) == expected
