"""The JSON gateway answers as stock's does: same status, same bytes, ids and times apart."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.gateway_steps import Step, run
from tests.interop.gateway_table import (
    FLAGS,
    LATER_SCRIPTS,
    NOT_SERVED_YET,
    SCRIPTS,
    STOPS_34,
    STOPS_36,
    FlagScript,
    Script,
)
from tests.servers import start_server
from tests.stock import require_stock_34, require_stock_35, require_stock_36

UNIMPLEMENTED = 501


def answers(kind: str, steps: Sequence[Step], flags: Sequence[str]) -> list[tuple[Step, object]]:
    with start_server(kind, extra_flags=flags) as server:
        return run(server, steps)


def differences(
    steps: Sequence[Step],
    stock: str,
    version: str = "3.5",
    flags: Sequence[str] = (),
    *,
    spaced: bool = False,
) -> list[str]:
    """What differs. `spaced`: stock puts blanks where it likes, so they do not count."""
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(answers, stock, steps, flags)
        ours = pool.submit(answers, "kvorum", steps, [f"--emulated-version={version}", *flags])
        pairs = zip(theirs.result(), ours.result(), strict=True)
        return [
            f"{step}\n  stock  {expected}\n  kvorum {found}"
            for (step, expected), (_, found) in pairs
            if (without_blanks(found) != without_blanks(expected) if spaced else found != expected)
        ]


def without_blanks(answer: object) -> object:
    """Every build of 3.6 has blanks of its own behind commas and behind "proto:"."""
    if isinstance(answer, bytes):
        return answer.replace("\N{NO-BREAK SPACE}".encode(), b"").replace(b" ", b"")
    if isinstance(answer, tuple | list):
        return [without_blanks(part) for part in answer]
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_gateway_answers_as_stock_35_does(script: Script) -> None:
    require_stock_35()
    found = differences(script.steps, "stock")
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_gateway_answers_as_stock_36_does(script: Script) -> None:
    folder = require_stock_36()
    steps = [step for step in script.steps if step not in STOPS_36]
    found = differences(steps, str(folder.etcd), "3.6", spaced=True)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_gateway_answers_as_stock_34_does(script: Script) -> None:
    folder = require_stock_34()
    steps = [step for step in script.steps if step not in STOPS_34]
    found = differences(steps, str(folder.etcd), "3.4")
    # Stock 3.4 leaves the header out of the answer about alarms, by gRPC as well.
    found = [text for text in found if "/maintenance/alarm" not in text]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("script", LATER_SCRIPTS, ids=lambda script: script.name)
def test_methods_that_came_later_answer_as_stock_does(script: Script) -> None:
    require_stock_35()
    found = differences(script.steps, "stock")
    missing = [text for text in found if f"kvorum ({UNIMPLEMENTED}," in text]
    if missing and script.name in NOT_SERVED_YET:
        pytest.xfail(f"Kvorum does not serve it yet: {len(missing)} methods are missing")
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("script", FLAGS, ids=lambda script: script.flags[0])
def test_flags_of_the_gateway_do_what_they_do_in_stock(script: FlagScript) -> None:
    require_stock_35()
    found = differences(script.steps, "stock", flags=script.flags)
    assert not found, "\n".join(found)
