"""Runs inputs against a reader and judges what comes out."""

from __future__ import annotations

import re
import resource
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Protocol

INPUT_S_MAX = 5.0
"""An input that takes longer is a hang."""

MEMORY_HEADROOM_BYTES = 192 << 20
"""What a run may take above what it has at its start. Inputs have some ten thousand bytes; the
rest is room for the allocator and for threads of libraries."""

CORPUS_MAX = 400
RAM_DISK = Path("/dev/shm")

_NUMBERS = re.compile(r"\b(?:0x)?(?:[0-9a-f]*[0-9][0-9a-f]*|[0-9a-f]{8,})\b")
SEED_SHARE = 0.4
"""How often an input is made from a sound one and not from what led to something new."""


class Target(Protocol):
    """A reader under test."""

    name: str

    def seeds(self) -> list[bytes]:
        """Sound inputs."""
        ...

    def mutate(self, data: bytes, other: bytes, rng: Random) -> bytes:
        """`data`, damaged; maybe with parts of `other`."""
        ...

    def run(self, data: bytes, scratch: Path) -> str:
        """Read the input. The outcome in a few words; any exception is a bug."""
        ...


class FuzzFailure(AssertionError):
    """An input that a reader did not stand."""


class Hang(Exception):
    """The time for one input is over."""


@dataclass(slots=True)
class Report:
    """What a run did."""

    reader: str
    inputs: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.reader}: {self.inputs} inputs in {self.seconds:.1f} s, slowest"
            f" {self.slowest_s * 1000:.1f} ms, {len(self.outcomes)} different outcomes,"
            f" {self.outcomes['sound']} read as sound"
        )


def masked(text: str, path: Path) -> str:
    """An error text without what differs from input to input."""
    return _NUMBERS.sub("N", text.replace(str(path), "FILE"))[:160]


def must_name(error: Exception, path: Path) -> None:
    """A refusal that does not say which file is of no use."""
    assert str(path) in str(error), f"the error does not name {path}: {error}"


def fuzz(target: Target, inputs: int, seed: int, *, keep: Path | None = None) -> Report:
    """Run `inputs` inputs.

    Args:
        target: the reader.
        inputs: how many.
        seed: the same seed gives the same inputs.
        keep: where an input that fails is kept; None: nowhere.

    Raises:
        FuzzFailure: an input led to anything but what is documented.
    """
    rng = Random(f"{target.name}:{seed}")
    report = Report(target.name)
    seeds = target.seeds()
    corpus, seeds_count = list(seeds), len(seeds)
    began = time.perf_counter()
    root = RAM_DISK if RAM_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="kvorum-fuzz-", dir=root) as name, _clock():
        scratch = Path(name)
        for number in range(inputs):
            if number < seeds_count:
                data = corpus[number]
            else:
                bases = seeds if rng.random() < SEED_SHARE else corpus
                data = target.mutate(rng.choice(bases), rng.choice(corpus), rng)
            outcome = _run_one(target, data, scratch, report, f"seed {seed} input {number}", keep)
            if outcome not in report.outcomes and number >= seeds_count:
                _remember(corpus, data, seeds_count, rng)
            report.outcomes[outcome] += 1
            report.inputs += 1
    report.seconds = time.perf_counter() - began
    return report


def _remember(corpus: list[bytes], data: bytes, seeds_count: int, rng: Random) -> None:
    if len(corpus) < CORPUS_MAX:
        corpus.append(data)
    else:
        corpus[rng.randrange(seeds_count, CORPUS_MAX)] = data


def _run_one(
    target: Target, data: bytes, scratch: Path, report: Report, where: str, keep: Path | None
) -> str:
    started = time.process_time()  # what others do on the machine is not the reader's fault
    signal.setitimer(signal.ITIMER_REAL, INPUT_S_MAX)
    try:
        return target.run(data, scratch)
    except Exception as error:
        note = ""
        if keep is not None:
            kept = keep / f"{target.name}-{where.replace(' ', '-')}"
            kept.write_bytes(data)
            note = f"; the input is in {kept}"
        raise FuzzFailure(
            f"{target.name}, {where}: {type(error).__name__}: {error}{note}"
        ) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        report.slowest_s = max(report.slowest_s, time.process_time() - started)


@contextmanager
def _clock() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no answer in {INPUT_S_MAX} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limit_memory(headroom_bytes: int = MEMORY_HEADROOM_BYTES) -> None:
    """From now on this process gets a MemoryError where it takes much more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + headroom_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def damage_bytes(data: bytearray, rng: Random) -> None:
    """One change that knows nothing of the format."""
    if not data:
        data.append(rng.randrange(256))
        return
    at = rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        case 2:
            del data[at:]
        case 3:
            del data[at : at + rng.choice((1, 4, 8, 16, 100))]
        case 4:
            data[at:at] = bytes(rng.choice((1, 4, 8, 512)))
        case _:
            end = min(len(data), at + rng.choice((4, 16, 512)))
            data[at:end] = bytes(end - at)


def interesting(rng: Random, near: Sequence[int], bits: int) -> int:
    """A number that is likely to be wrong in an interesting way."""
    match rng.randrange(4):
        case 0:
            value = rng.choice(near) + rng.choice((-1, 0, 1))
        case 1:
            value = rng.choice((0, 1, 2, (1 << bits) - 1, (1 << bits - 1) - 1, 1 << bits - 1))
        case 2:
            value = rng.getrandbits(rng.randrange(1, bits + 1))
        case _:
            value = rng.choice(near)
    return value & ((1 << bits) - 1)
