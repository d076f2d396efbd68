"""Scripts of our own, in `scripts/`.

After a change that is meant: `KVORUM_REWRITE_SCENARIOS=1 pytest tests/scenarios`, then look at the
difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenarios.interaction import Cluster
from tests.scenarios.script import Command, check, comparable, parse, rewrite

_SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in _SCRIPTS])
def test_a_cluster_behaves_as_the_script_says(path: Path) -> None:
    if os.environ.get("KVORUM_REWRITE_SCENARIOS"):
        rewrite(path, Cluster().run)
    assert check(path, Cluster().run) > 0


def test_a_difference_fails(tmp_path: Path) -> None:
    """The driver is no rubber stamp."""
    path = tmp_path / "script.txt"
    path.write_text("add-nodes 1 voters=(1) index=3\n----\nok\n\nraft-state\n----\nsomething\n")
    with pytest.raises(AssertionError, match="raft-state"):
        check(path, Cluster().run)


def test_log_lines_are_not_compared_and_everything_else_is() -> None:
    assert comparable(["INFO 1 became leader", "  DEBUG x"]) == ["ok"]
    assert comparable(["> 1 handling Ready", "  INFO x", "  Messages:"]) == [
        "> 1 handling Ready",
        "  Messages:",
    ]


def test_a_script_is_parsed() -> None:
    text = (
        "# comment\n\ncommitted cfg=(1, 2) idx=(_,7) x=true 5\nv1 v2\n----\nline\n\nother\n----\n"
    )
    first, second = parse(text)
    assert isinstance(first, Command)
    assert (first.name, first.arguments, first.input) == ("committed", ["5"], ["v1 v2"])
    assert (first.ids("cfg"), first.items("idx"), first.flag("x")) == ([1, 2], ["_", "7"], True)
    assert first.expected == ["line"]
    assert (second.name, second.expected) == ("other", [])
