"""Rules for every test run.

In CI (`KVORUM_CI=1`) everything that a test may need has been installed, so a skipped test is a
test that was lost: it fails there, unless `MAY_SKIP` gives a reason. What no installation can give,
because the kernel refuses it, is in `CANNOT_HAVE`: such skips stay skips, and the summary (`-ra`)
tells them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

# A shell that runs us in the background has us ignore SIGINT, `nohup` SIGHUP, and the programs
# under test would inherit that: tests that press Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes says more about what else the machine does than about what is tested.
hypothesis.settings.register_profile("kvorum", deadline=None)
hypothesis.settings.load_profile("kvorum")

CI_VARIABLE = "KVORUM_CI"

MAY_SKIP: dict[str, str] = {}
"""Start of a test's node id → why it may be skipped in CI. Only shrinks."""

CANNOT_HAVE: dict[str, str] = {
    "this machine gives root no network namespaces with TUN devices": (
        "containers without CAP_SYS_ADMIN or /dev/net/tun; faults by proxy are tested everywhere"
    ),
    "this machine lets root mount nothing": (
        "containers without CAP_SYS_ADMIN; a limit of a file's size is tested everywhere"
    ),
}
"""Start of a skip's reason, found by trying it as root → where that is so, and what is lost."""


def _in_ci() -> bool:
    return os.environ.get(CI_VARIABLE, "") not in {"", "0"}


def _refuse_skip(report: Any) -> None:
    """Turn a skip into a failure, but for tests that may, and for expected failures."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    if any(report.nodeid.startswith(known) for known in MAY_SKIP):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    if str(reason).removeprefix("Skipped: ").startswith(tuple(CANNOT_HAVE)):
        return
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} was skipped in CI ({CI_VARIABLE}): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    if _in_ci():
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    if _in_ci():
        _refuse_skip(report)
    return report
