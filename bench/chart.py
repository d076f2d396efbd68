"""One chart of all ratios: how many times as good as stock, whatever the unit."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

from bench.results import Row, ratio

COLOURS = {True: "#2a7f3f", False: "#b3321f", None: "#5b6b7a"}
ROW_HEIGHT_INCH = 0.26


def times_as_good(row: Row, value: float) -> float:
    """`value`, a ratio Kvorum / stock, so that above 1 is always better than stock."""
    return value if row.figure.more_is_better else 1 / value


def draw(rows: list[Row], path: Path, title: str) -> None:
    """Write an SVG: a dot for each median, a line over the rounds, a mark for the target."""
    mpl.rcParams.update({"svg.hashsalt": "kvorum", "svg.fonttype": "none", "font.size": 8})
    figure, axes = plt.subplots(figsize=(8, 1.2 + ROW_HEIGHT_INCH * len(rows)))
    for place, row in enumerate(rows):
        colour = COLOURS[row.met]
        ends = sorted(times_as_good(row, v) for v in (row.ratio_min, row.ratio_max))
        middle = times_as_good(row, row.ratio)
        axes.plot(ends, [place, place], color=colour, linewidth=2, alpha=0.5)
        axes.plot([middle], [place], "o", color=colour, markersize=5)
        axes.annotate(
            ratio(middle), (ends[1], place), (6, -3), textcoords="offset points", color=colour
        )
        if row.figure.target is not None:
            target = times_as_good(row, row.figure.target)
            axes.plot([target, target], [place - 0.35, place + 0.35], color="black", linewidth=1.2)
    axes.axvline(1, color="#999999", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set_yticks(range(len(rows)), [f"{row.job.name}  {row.figure.name}" for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.02)
    axes.grid(axis="x", alpha=0.2)
    axes.set_xlabel("times as good as stock (right is better; black mark: target)")
    axes.set_title(title)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
