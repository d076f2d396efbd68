"""What is offered at the end of a command line, and the scripts that ask for it."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvorum.cli.etcdctl.root import ROOT as ETCDCTL
from kvorum.cli.etcdutl.root import ROOT as ETCDUTL
from kvorum.cli.shared.cobra import Group
from kvorum.cli.shared.completion import candidates
from tests.servers import server_environment

DEADLINE_S = 20


def words(root: Group, line: str) -> list[str]:
    return [word for word, _ in candidates(root, line).rows]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("etcdutl sn", ["snapshot"]),
        ("etcdutl snapshot ", ["restore", "status"]),
        ("etcdutl -w json snapshot st", ["status"]),
        ("etcdutl --data-dir d snapshot re", ["restore"]),
        ("etcdutl snapshot restore --initial-cluster-", ["--initial-cluster-token"]),
        ("etcdutl snapshot restore f --wa", ["--wal-dir"]),
        ("etcdutl -w ", ["fields", "json", "protobuf", "simple", "table"]),
        ("etcdutl --write-out t", ["table"]),
        ("etcdutl --write-out=t", ["--write-out=table"]),
        ("etcdutl migrate --force=", ["--force=true", "--force=false"]),
        ("etcdutl migrate --format s", ["stock"]),
        ("etcdutl completion ", ["bash", "zsh", "fish", "powershell"]),
        ("etcdutl completion bash ", []),
        ("etcdutl help snap", ["snapshot"]),
        ("etcdutl nosuch ", []),
        ("etcdutl defrag -- ", []),
        ("etcdutl snapshot status --nosuch=x", []),
        ("/usr/bin/etcdutl ver", ["verify", "version"]),
        ("etcdutl 'sn", ["snapshot"]),
    ],
)
def test_commands_flags_and_values_are_offered(line: str, expected: list[str]) -> None:
    assert words(ETCDUTL, line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("etcdutl snapshot status ", True),
        ("etcdutl snapshot status some", True),
        ("etcdutl snapshot status a ", False),
        ("etcdutl inspect bucket f ", False),
        ("etcdutl defrag --data-dir ", True),
        ("etcdutl defrag --data-dir=x", True),
        ("etcdutl --data-dir ", True),  # a flag of a command that is still to come
        ("etcdutl snapshot restore --name ", False),
        ("etcdutl snapshot ", False),
    ],
)
def test_files_are_offered_where_they_may_stand(line: str, expected: bool) -> None:
    assert candidates(ETCDUTL, line).files is expected


def test_etcdctl_completes_too() -> None:
    assert words(ETCDCTL, "etcdctl --endpoints a,b lease g") == ["grant"]
    assert words(ETCDCTL, "etcdctl get k --sort") == ["--sort-by"]
    assert "--cacert" in words(ETCDCTL, "etcdctl get --c")
    assert candidates(ETCDCTL, "etcdctl --cacert ").files


def test_what_is_offered_says_what_it_means() -> None:
    offer = dict(candidates(ETCDUTL, "etcdutl ").rows)
    assert (
        offer["verify"] == "Check that the files of a stopped member are whole and fit each other"
    )
    assert dict(candidates(ETCDUTL, "etcdutl verify --h").rows)["--help"] == "show this help"


def test_hidden_commands_are_not_offered() -> None:
    assert "save" not in words(ETCDUTL, "etcdutl snapshot ")


def run(program: str, *line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"kvorum.cli.{program}", *line],
        capture_output=True,
        text=True,
        env=server_environment(),
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_program_answers_a_script() -> None:
    done = run("etcdutl", "__complete", "etcdutl snapshot st")
    assert done.stdout.splitlines() == [
        "status\tShow hash, revision, number of keys and size of a snapshot file",
        ":none",
    ]


@pytest.mark.parametrize("program", ["etcdutl", "etcdctl"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_script_names_its_program(program: str, shell: str) -> None:
    script = run(program, "completion", shell).stdout
    assert f"# Completion of {program} for" in script
    assert "__complete" in script
    assert "PROGRAM" not in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_sound(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run(
        [shell, "-n"],
        input=run("etcdutl", "completion", shell).stdout,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_is_refused() -> None:
    done = run("etcdutl", "completion", "tcsh")
    assert done.returncode == 1
    assert done.stderr == (
        'Error: unknown shell "tcsh", expected one of: bash, zsh, fish, powershell\n'
    )


class Terminal:
    """A bash at a terminal, where the tab key is pressed."""

    def __init__(self, folder: Path) -> None:
        program = folder / "etcdutl"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kvorum.cli.etcdutl "$@"\n')
        program.chmod(0o755)
        environment = server_environment({"PS1": "", "TERM": "dumb", "INPUTRC": "/dev/null"})
        environment["PATH"] = f"{folder}:{environment.get('PATH', os.defpath)}"
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.send('source <(etcdutl completion bash); bind "set bell-style none"; echo re""ady\n')
        self.wait_for("ready")

    def send(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        give_up, seen = time.monotonic() + DEADLINE_S, ""
        while text not in seen:
            assert time.monotonic() < give_up, f"{text!r} did not come: {seen!r}"
            try:
                seen += os.read(self._master, 65536).decode()
            except BlockingIOError:
                time.sleep(0.01)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_flags_values_and_files(tmp_path: Path) -> None:
    (tmp_path / "backup file.db").touch()
    terminal = Terminal(tmp_path)
    try:
        for typed, completed in (
            ("etcdutl snap", "etcdutl snapshot "),
            ("etcdutl snapshot restore --initial-cluster-t", "--initial-cluster-token "),
            ("etcdutl --write-out=ta", "etcdutl --write-out=table "),
            ("etcdutl snapshot status back", "backup\\ file.db "),
            ("etcdutl --data-dir=back", "--data-dir=backup\\ file.db "),
        ):
            terminal.send(f"{typed}\t")
            terminal.wait_for(completed)
            terminal.send("\x15")  # clear the line
    finally:
        terminal.close()
