"""The tests that ship inside tooz, with its etcd3gw driver, run by several processes at once.

They mostly wait, one after the other for 100 s. `python -m tests.interop.third_party.tooz_suite`
with TOOZ_TEST_URL set prints a JSON object: name of a test → passed, skipped: WHY or failed: WHY.
Names behind the module restrict it to these tests.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import unittest
from concurrent.futures import ProcessPoolExecutor

from tooz.tests.test_coordination import TestAPI
from tooz.tests.test_partitioner import TestPartitioner

WORKERS = 8
CLASSES = {one.__name__: one for one in (TestAPI, TestPartitioner)}


def names() -> list[str]:
    loader = unittest.TestLoader()
    return [f"{c}.{n}" for c, one in CLASSES.items() for n in loader.getTestCaseNames(one)]


def outcome(name: str) -> str:
    """Run one test. A worker is given many of them, one after the other."""
    case, method = name.split(".")
    result = unittest.TestResult()
    CLASSES[case](method).run(result)
    for _, trace in (*result.failures, *result.errors):
        return f"failed: {trace}"
    for _, reason in result.skipped:
        return f"skipped: {reason}"
    return "passed"


if __name__ == "__main__":
    assert os.environ["TOOZ_TEST_URL"].startswith("etcd3+http://")
    chosen = sys.argv[1:] or names()
    # Forked workers need not import anything again.
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork")) as pool:
        print(json.dumps(dict(zip(chosen, pool.map(outcome, chosen), strict=True))))
