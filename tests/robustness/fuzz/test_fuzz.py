"""Damaged files of every kind: refused with a reason, soon, in bounded memory.

Some thousand inputs by default; `KVORUM_FUZZ_INPUTS=1000000` for so many for each reader.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.robustness.fuzz import harness
from tests.robustness.fuzz.harness import FuzzFailure, fuzz
from tests.robustness.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[3]
VARIABLE = "KVORUM_FUZZ_INPUTS"
INPUTS_DEFAULT = 1500
SEED = 20261121
INPUTS_PER_S_MIN = 20
"""Far below what any machine does; a run that is slower hangs."""


@pytest.mark.parametrize("reader", TARGETS)
def test_damaged_files_are_refused_with_a_reason(tmp_path: Path, reader: str) -> None:
    """In a process of its own, which has a limit to its memory."""
    inputs = int(os.environ.get(VARIABLE, INPUTS_DEFAULT))
    command = [sys.executable, "-m", "tests.robustness.fuzz", f"--reader={reader}"]
    command += [f"--inputs={inputs}", f"--seed={SEED}", f"--keep={tmp_path}"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=30 + inputs / INPUTS_PER_S_MIN,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{reader}: {inputs} inputs"), done.stdout


class Planted:
    """A reader with a bug that is met by every input with a high first byte."""

    name = "planted"

    def __init__(self, bug: str) -> None:
        self._bug = bug
        self.seen: list[bytes] = []

    def seeds(self) -> list[bytes]:
        return [b"\0" * 8, b"\1" * 8]

    def mutate(self, data: bytes, other: bytes, rng: Random) -> bytes:
        made = bytearray(data)
        harness.damage_bytes(made, rng)
        return bytes(made)

    def run(self, data: bytes, scratch: Path) -> str:
        self.seen.append(data)
        if data[:1] < b"\xf0":
            return "sound"
        if self._bug == "hang":
            while True:
                time.sleep(0.01)
        if self._bug == "name":
            harness.must_name(ValueError("something is wrong"), scratch / "db")
        return str(bytes(8)[data[0]])


@pytest.mark.parametrize(
    ("bug", "said"),
    [("crash", "IndexError"), ("name", "the error does not name"), ("hang", "Hang: no answer in")],
)
def test_the_fuzzer_finds_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str, said: str
) -> None:
    monkeypatch.setattr(harness, "INPUT_S_MAX", 0.2)
    target = Planted(bug)
    with pytest.raises(FuzzFailure, match=rf"planted, seed 1 input \d+: .*{said}"):
        fuzz(target, 20_000, 1, keep=tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == target.seen[-1]


def test_the_same_seed_gives_the_same_inputs() -> None:
    runs = []
    for seed in (5, 5, 6):
        target = Planted("none")
        with pytest.raises(FuzzFailure):
            fuzz(target, 20_000, seed)
        runs.append(target.seen)
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("reader", TARGETS)
def test_the_seeds_are_sound(tmp_path: Path, reader: str) -> None:
    target = TARGETS[reader]()
    assert {target.run(one, tmp_path) for one in target.seeds()} == {"sound"}


def test_a_wild_allocation_is_an_error() -> None:
    """`limit_memory` works: else nothing would be said about memory."""
    code = (
        "from tests.robustness.fuzz.harness import limit_memory\n"
        "limit_memory()\n"
        "try:\n    bytes(1 << 30)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
    )  # fmt: skip
    assert done.stdout == "refused\n", done.stderr
