"""The progress bar is for people at a terminal, and for nobody else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from kvorum.cli.shared.progress import DELAY_S
from tests.servers import server_environment

WORK = """
import sys, time
from kvorum.cli.shared.console import console_logger
from kvorum.cli.shared.progress import ProgressBar
with ProgressBar("Copying") as bar:
    log = console_logger(bar.clear)
    for done in range(0, 101, 20):
        bar.report(done << 20, 100 << 20)
        time.sleep({pause_s})
    log.info("half", done=1)
    bar.report(100 << 20, 100 << 20)
print("rich" in sys.modules)
"""
LONG_S, SHORT_S = DELAY_S / 3, 0.0


def on_terminal(pause_s: float) -> bytes:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(pause_s=pause_s)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=server_environment({"TERM": "xterm", "COLUMNS": "100"}),
    )
    os.close(slave)
    seen = b""
    try:
        while data := os.read(master, 65536):
            seen += data
    except OSError:
        pass  # how Linux tells that the other end was closed
    finally:
        os.close(master)
        assert process.wait(30) == 0
    return seen


def test_long_work_has_a_bar_on_a_terminal_that_is_gone_in_the_end() -> None:
    seen = on_terminal(LONG_S)
    assert b"Copying" in seen
    assert b"MB" in seen
    tail = seen[seen.rindex(b"Copying") :]
    assert b"\x1b[2K" in tail  # the line of the bar was erased
    assert tail.endswith(b"True\r\n")


def test_a_log_line_stands_on_a_line_of_its_own() -> None:
    (line,) = [part for part in on_terminal(LONG_S).split(b"\n") if b"\thalf\t" in part]
    assert b"Copying" not in line


def test_short_work_has_no_bar() -> None:
    seen = on_terminal(SHORT_S)
    assert b"Copying" not in seen
    assert seen.endswith(b"False\r\n")


@pytest.mark.parametrize("closed", [False, True])
def test_in_a_pipe_there_is_no_bar(closed: bool) -> None:
    redirect = "2>&-" if closed else ""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-c",
         WORK.format(pause_s=LONG_S)],
        capture_output=True,
        env=server_environment(),
        timeout=30,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"False\n")
    assert b"Copying" not in done.stderr
    assert (b"\thalf\t" in done.stderr) is not closed
