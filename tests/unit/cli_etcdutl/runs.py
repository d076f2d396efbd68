"""Runs of etcdutl in this process, as quick as the work itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from kvorum.cli.etcdutl.program import run

DEADLINE_S = 60
COMMAND = (sys.executable, "-m", "kvorum.cli.etcdutl")
"""etcdutl as a process of its own, for what needs one."""


def etcdutl(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One run; nothing is said about its exit code."""
    line = [str(word) for word in words]
    before = Path.cwd()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = _redirect(out, err)
        os.chdir(cwd or before)
        try:
            code = run(line)
        finally:
            os.chdir(before)
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
        return subprocess.CompletedProcess(line, code, _text(out), _text(err))


def _redirect(out: BinaryIO, err: BinaryIO) -> tuple[int, int]:
    """Point standard output and error at files; where they pointed before."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    return kept


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "surrogateescape")


def output_of(*words: str | Path) -> str:
    """The standard output of a run that must succeed."""
    done = etcdutl(*words)
    assert done.returncode == 0, (done.args, done.stdout, done.stderr)
    return done.stdout
