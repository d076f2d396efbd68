"""The result files: a Markdown table, a chart, and the figures of every round as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from bench.jobs import Sizes
from bench.results import Results, Row, number, ratio, verdict

EXPLANATION = (
    "Stock and Kvorum are medians over the rounds. A ratio is Kvorum / stock of one round; the "
    "column ratio is the median over the rounds, min and max are the outer ones. More is better "
    "for what counts per second, less for everything else. A target is held against the median."
)
HEADINGS = ("job", "figure", "unit", "stock", "Kvorum", "ratio", "min", "max", "target")


def cells(row: Row) -> tuple[str, ...]:
    return (
        row.job.name,
        row.figure.name,
        row.figure.unit,
        number(row.stock),
        number(row.kvorum),
        ratio(row.ratio),
        ratio(row.ratio_min),
        ratio(row.ratio_max),
        verdict(row),
    )


def plain_table(rows: list[Row]) -> str:
    """For a terminal: columns of equal width."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown_table(rows: list[Row]) -> str:
    lines = [HEADINGS, ("---",) * 3 + ("---:",) * 5 + ("---",), *(cells(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(results: Results, facts: dict[str, str], sizes: Sizes, chart: str) -> str:
    rows = results.rows()
    about = {row.job.name: row.job.about for row in rows}
    parts = [
        f"# Kvorum beside stock etcd, {facts['date']}",
        EXPLANATION,
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        markdown_table(rows),
        f"![Kvorum beside stock etcd]({chart})",
        "## Jobs\n\n" + "\n".join(f"- **{name}**: {text}" for name, text in about.items()),
        "## Sizes\n\n"
        + ", ".join(f"{k.replace('_', ' ')} {v:,}" for k, v in asdict(sizes).items()),
    ]
    if results.failures:
        parts.append("## Failed\n\n" + "\n".join(f"- {failure}" for failure in results.failures))
    return "\n\n".join(parts) + "\n"


def write(
    folder: Path, stem: str, results: Results, facts: dict[str, str], sizes: Sizes
) -> list[Path]:
    """Write STEM.md, STEM.json and, where matplotlib is, STEM.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    page, raw, chart = (folder / f"{stem}.{kind}" for kind in ("md", "json", "svg"))
    page.write_text(markdown(results, facts, sizes, chart.name))
    raw.write_text(
        json.dumps(
            {
                "facts": facts,
                "sizes": asdict(sizes),
                "rounds": results.rounds,
                "failures": results.failures,
            },
            indent=1,
        )
        + "\n"
    )
    written = [page, raw]
    if results.rows():
        from bench.chart import draw  # noqa: PLC0415 - matplotlib takes a second to import

        draw(results.rows(), chart, f"Kvorum beside stock etcd, {facts['date']}")
        written.append(chart)
    return written
