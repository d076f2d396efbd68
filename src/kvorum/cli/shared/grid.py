"""Tables of text: a grid of `+`, `-` and `|`, headings centred, cells to the right.

A cell wider than 30 columns is broken between words; the lines are made as even as they can be.

Source: olekukonko/tablewriter 0.0.5 (SetAlignment(ALIGN_RIGHT)), as stock etcdctl 3.5.1 has it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

WRAP_COLUMNS = 30


def render(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw a table. `headings` are printed in capitals."""
    cells = [[wrap(cell) for cell in row] for row in rows]
    widths = [
        max([width(heading), *(_columns(row[column]) for row in rows)])
        for column, heading in enumerate(headings)
    ]
    rule = "+" + "+".join("-" * (columns + 2) for columns in widths) + "+\n"
    parts = [rule]
    parts.append(_row([_centre(h.upper(), w) for h, w in zip(headings, widths, strict=True)]))
    parts.append(rule)
    for row in cells:
        for line in zip_longest(*row, fillvalue=""):
            parts.append(_row([_right(text, w) for text, w in zip(line, widths, strict=True)]))
    parts.append(rule)
    return "".join(parts)


def _row(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " for cell in cells) + "|\n"


def _centre(text: str, columns: int) -> str:
    left = (columns - width(text)) // 2
    return " " * left + text + " " * (columns - width(text) - left)


def _right(text: str, columns: int) -> str:
    return " " * (columns - width(text)) + text


def width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in {"W", "F"}
        else 1
        for character in text
    )


def _columns(cell: str) -> int:
    """Columns that a cell needs: one that was broken still takes the whole of what it may."""
    columns = max(map(width, cell.split("\n")))
    if columns <= WRAP_COLUMNS:
        return columns
    return max(WRAP_COLUMNS, *map(width, wrap(cell)))


def wrap(text: str) -> list[str]:
    """Break a cell into lines."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += _wrap_words(line.split()) if width(line) > WRAP_COLUMNS else [line]
    return lines


def _wrap_words(words: list[str]) -> list[str]:
    """Break between words so that the squares of the room left in the lines add up to the least.

    The last line is free: what is left in it costs nothing.
    """
    if not words:
        return [""]
    limit = max(WRAP_COLUMNS, *map(width, words))
    count = len(words)
    best_cost = [0] * (count + 1)
    next_break = [count] * (count + 1)
    for first in range(count - 1, -1, -1):
        columns, cheapest = -1, None
        for after in range(first + 1, count + 1):
            columns += 1 + width(words[after - 1])
            if columns > limit:
                break
            room = 0 if after == count else (limit - columns) ** 2
            cost = room + best_cost[after]
            if cheapest is None or cost < cheapest:
                cheapest, next_break[first] = cost, after
        assert cheapest is not None, words
        best_cost[first] = cheapest
    lines, first = [], 0
    while first < count:
        lines.append(" ".join(words[first : next_break[first]]))
        first = next_break[first]
    return lines
