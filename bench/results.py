"""The figures of all rounds, and what they come to beside each other."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from bench.jobs import JOBS, Figure, Figures, Job

STOCK, KVORUM = "stock", "kvorum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of one job, over all rounds. A ratio is Kvorum / stock of the same round."""

    job: Job
    figure: Figure
    stock: float
    kvorum: float
    ratio: float
    ratio_min: float
    ratio_max: float

    @property
    def met(self) -> bool | None:
        return self.figure.met(self.ratio)


@dataclass(slots=True)
class Results:
    """Figures by job and side, one for each round that both sides finished."""

    rounds: dict[str, list[dict[str, Figures]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, job: str, round_number: int, side: str, figures: Figures) -> None:
        mine = self.rounds.setdefault(job, [])
        while len(mine) < round_number:
            mine.append({})
        mine[round_number - 1][side] = figures

    def rows(self) -> list[Row]:
        return [
            row
            for job in JOBS
            if job.name in self.rounds
            for figure in job.figures
            if (row := self._row(job, figure)) is not None
        ]

    def _row(self, job: Job, figure: Figure) -> Row | None:
        pairs = [
            (sides[STOCK][figure.name], sides[KVORUM][figure.name])
            for sides in self.rounds[job.name]
            if STOCK in sides and KVORUM in sides
        ]
        if not pairs:
            return None
        ratios = [kvorum / stock for stock, kvorum in pairs]
        return Row(
            job=job,
            figure=figure,
            stock=statistics.median(stock for stock, _ in pairs),
            kvorum=statistics.median(kvorum for _, kvorum in pairs),
            ratio=statistics.median(ratios),
            ratio_min=min(ratios),
            ratio_max=max(ratios),
        )


def number(value: float) -> str:
    """Three digits that matter, thousands parted."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict(row: Row) -> str:
    """The target and whether the median reaches it; empty without one."""
    if row.met is None:
        return ""
    sign = "≥" if row.figure.more_is_better else "≤"
    return f"{sign} {row.figure.target:g} {'met' if row.met else '**missed**'}"
