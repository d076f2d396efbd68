"""etcdctl as a process, without any server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kvorum.cli.shared.version import API_VERSION, VERSION
from kvorum.proto.versions import DEFAULT_SERVER_VERSION
from tests.servers import server_environment


def etcdctl(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kvorum.cli.etcdctl", *words],
        capture_output=True,
        text=True,
        check=False,
        env=server_environment(env),
        stdin=subprocess.DEVNULL,
        timeout=30,
    )


def test_version_tells_what_kvorum_presents_itself_as() -> None:
    result = etcdctl("version")
    assert result.stdout == f"etcdctl version: {VERSION}\nAPI version: {API_VERSION}\n"
    assert (VERSION, API_VERSION) == ("3.6.0", "3.6")
    assert str(DEFAULT_SERVER_VERSION) == VERSION


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["help"],
        ["help", "lease", "grant"],
        ["lease"],
        ["lease", "nosuch"],
        ["get", "-h"],
        ["watch", "-i", "--help"],
    ],
)
def test_help_is_printed_and_is_no_error(words: list[str]) -> None:
    result = etcdctl(*words)
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: etcdctl")
    assert "--endpoints" in result.stdout
    assert result.stderr == ""


def test_the_help_of_a_command_names_its_own_flags_first() -> None:
    text = etcdctl("get", "--help").stdout
    assert text.startswith("Usage: etcdctl get [flags] KEY [RANGE_END]\n")
    assert text.index("--keys-only") < text.index("Global options:") < text.index("--endpoints")


def test_the_help_of_etcdctl_lists_every_command() -> None:
    text = etcdctl().stdout
    for name in ("put", "lease keep-alive", "endpoint hashkv", "member list", "watch"):
        assert f"  {name} " in text


def test_help_for_what_is_no_command_shows_all() -> None:
    result = etcdctl("help", "nosuch")
    assert result.stderr == "Unknown help topic [`nosuch`]\n"
    assert result.stdout.startswith("Usage: etcdctl [flags] COMMAND\n")


@pytest.mark.parametrize("words", [["user", "list"], ["role", "list"], ["auth", "enable"]])
def test_commands_that_are_not_there_yet_are_unknown(words: list[str]) -> None:
    result = etcdctl(*words)
    assert result.returncode == 1
    assert result.stderr.endswith(f'Error: unknown command "{words[0]}" for "etcdctl"\n') or (
        f'Error: unknown command "{words[0]}" for "etcdctl"\n\nDid you mean this?\n'
        in result.stderr
    )


@pytest.mark.parametrize("version", ["2", "4", "x"])
def test_the_old_api_is_refused(version: str) -> None:
    result = etcdctl("get", "k", ETCDCTL_API=version)
    assert (result.returncode, result.stderr) == (1, f"unsupported API version: {version}\n")


def test_a_password_that_is_missing_is_asked_for() -> None:
    result = etcdctl("--endpoints=127.0.0.1:1", "--command-timeout=1ms", "--user=u", "get", "k")
    assert result.stdout == "Password: \n"


def test_output_that_nobody_reads_ends_the_process_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kvorum.cli.etcdctl", "help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=server_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == -13


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "kvorum.cli.etcdctl", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            env=server_environment(),
            timeout=30,
        )
    assert result.returncode == 6
    assert result.stderr == b"Error: write /dev/stdout: no space left on device\n"


def test_streams_that_are_closed_are_no_trouble() -> None:
    command = f"{sys.executable} -m kvorum.cli.etcdctl"
    for line, code in (("version >&-", 0), ("put k <&-", 128), ("txn --nosuch 2>&-", 1)):
        result = subprocess.run(
            ["sh", "-c", f"{command} {line}"],
            capture_output=True,
            check=False,
            env=server_environment(),
            timeout=30,
        )
        assert (result.returncode, b"Traceback" in result.stderr) == (code, False), line


def test_help_and_version_do_not_wait_for_grpc() -> None:
    program = (
        "import sys\n"
        "from kvorum.cli.etcdctl.program import run\n"
        "run(sys.argv[1:])\n"
        "sys.exit('grpc' in sys.modules)"
    )
    for words in (["version"], ["--help"], ["nosuch"]):
        result = subprocess.run(
            [sys.executable, "-c", program, *words],
            check=False,
            capture_output=True,
            env=server_environment(),
            timeout=30,
        )
        assert result.returncode == 0


def test_the_settings_can_be_printed() -> None:
    result = etcdctl("--endpoints=127.0.0.1:1", "--command-timeout=1ms", "get", "k", "--debug")
    lines = result.stderr.splitlines()[:18]
    assert lines == sorted(lines)
    assert "ETCDCTL_ENDPOINTS=[127.0.0.1:1]" in lines
    assert "ETCDCTL_COMMAND_TIMEOUT=1ms" in lines
    assert "ETCDCTL_HEX=false" in lines


def test_an_unusual_locale_keeps_arguments_whole() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "kvorum.cli.etcdctl", os.fsdecode(b"caf\xc3\xa9\xff")],
        capture_output=True,
        check=False,
        env=server_environment({"LC_ALL": "C"}),
        timeout=30,
    )
    assert b'unknown command "caf\xc3\xa9\xff" for "etcdctl"' in result.stderr
