"""How far one word is from another, for "Did you mean this?"."""

from __future__ import annotations


def distance(one: str, other: str) -> int:
    """Number of letters to insert, drop or replace to make `one` into `other` (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            replaced = diagonal + (letter != wanted)
            diagonal = row[j]
            row[j] = min(replaced, row[j] + 1, row[j - 1] + 1)
    return row[-1]
