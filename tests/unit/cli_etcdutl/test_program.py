"""etcdutl as a program: help, version, flags, and what it costs to start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kvorum.cli.etcdutl.root import ROOT
from kvorum.cli.shared.cobra import Group, flags_of
from kvorum.proto.versions import DEFAULT_SERVER_VERSION
from tests.servers import server_environment
from tests.unit.cli_etcdutl.runs import etcdutl, output_of


def test_version_tells_what_kvorum_presents_itself_as() -> None:
    shown = f"etcdutl version: {DEFAULT_SERVER_VERSION}\n"
    assert output_of("version") == f"{shown}API version: {DEFAULT_SERVER_VERSION.short}\n"


@pytest.mark.parametrize(
    "words",
    [[], ["--help"], ["help"], ["help", "snapshot", "restore"], ["snapshot"], ["defrag", "-h"]],
)
def test_help_is_printed_and_is_no_error(words: list[str]) -> None:
    done = etcdutl(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: etcdutl")
    assert "-w, --write-out" in done.stdout


def test_the_help_of_etcdutl_lists_every_command() -> None:
    text = output_of()
    for name in (
        "completion",
        "defrag",
        "hashkv",
        "help",
        "inspect bucket",
        "inspect buckets",
        "inspect log",
        "migrate",
        "snapshot restore",
        "snapshot status",
        "verify",
        "version",
    ):
        assert f"  {name} " in text
    assert "snapshot save" not in text  # it only says where it has gone


def test_the_help_of_a_command_names_its_own_flags_first() -> None:
    text = output_of("snapshot", "restore", "--help")
    assert text.startswith("Usage: etcdutl snapshot restore [flags] FILE\n")
    assert text.index("--skip-hash-check") < text.index("Global options:") < text.index("-w,")


def test_every_command_can_be_loaded_and_no_flag_hides_a_global_one() -> None:
    global_names = {flag.name for flag in flags_of(ROOT)}
    groups, seen = [ROOT], 0
    while groups:
        group = groups.pop()
        for name in group._modules:
            command = group.child(name)
            if isinstance(command, Group):
                groups.append(command)
            else:
                seen += 1
                assert not global_names & {flag.name for flag in flags_of(command)}, name
    assert seen == 13


@pytest.mark.parametrize("command", ["backup", "check", "bogus"])
def test_what_is_no_command_is_unknown(command: str) -> None:
    done = etcdutl(command)
    assert done.returncode == 1
    assert done.stderr.startswith(f'Error: unknown command "{command}" for "etcdutl"\n')


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["defrag"], 'required flag(s) "data-dir" not set'),
        (["snapshot", "restore", "f"], 'required flag(s) "data-dir" not set'),
        (["verify", "--data-dir"], "flag needs an argument: --data-dir"),
        (["hashkv"], "accepts 1 arg(s), received 0"),
        (["hashkv", "a", "b"], "accepts 1 arg(s), received 2"),
        (["hashkv", "a", "--rev=x"], 'invalid argument "x" for "--rev" flag: strconv.ParseInt: '
         'parsing "x": invalid syntax'),
        (["inspect", "bucket", "f"], "accepts 2 arg(s), received 1"),
    ],
)  # fmt: skip
def test_wrong_flags_and_arguments_show_the_usage(words: list[str], reason: str) -> None:
    done = etcdutl(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {reason}\nUsage: etcdutl {words[0]}")
    assert done.stderr.endswith(f"\nError: {reason}\n")


def test_help_and_version_start_without_what_they_do_not_need() -> None:
    """A completion at a shell's prompt waits for it, too."""
    program = (
        "import sys\n"
        "from kvorum.cli.etcdutl.program import run\n"
        "run(sys.argv[1:])\n"
        "heavy = {'grpc', 'asyncio', 'lmdb', 'google.protobuf', 'rich', 'google_crc32c', 'yaml'}\n"
        "sys.exit(', '.join(heavy & sys.modules.keys()) or 0)"
    )
    for words in (["version"], ["--help"], ["snapshot"], ["__complete", "etcdutl mig"], ["nosuch"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            env=server_environment(),
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
