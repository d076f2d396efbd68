"""Flags of how members are changed, compared with each other, and taken to another version.

Source: shared facts, flags.md section 1.
"""

from __future__ import annotations

from typing import Any

from kvorum.embed.config_flag import Flag, Kind, Section


def _row(name: str, kind: Kind, default: str, text: str, **more: Any) -> Flag:
    field = name.replace("-", "_") + ("_s" if kind is Kind.FLAG_DURATION else "")
    section = Section.FEATURES if kind is Kind.FLAG_DURATION else Section.CLUSTERING
    return Flag(
        name=name, kind=kind, default=default, section=section, field=field, help=text, **more
    )


CLUSTER: tuple[Flag, ...] = (
    _row(
        "strict-reconfig-check",
        Kind.BOOL,
        "true",
        "Refuse changes of the members that could cost the cluster its quorum.",
    ),
    _row("max-learners", Kind.INT, "1", "Learners that the cluster may have at the same time."),
    _row(
        "corrupt-check-time",
        Kind.FLAG_DURATION,
        "0s",
        "Time between two comparisons of all keys with the other members'; 0: never.",
    ),
    _row(
        "compact-hash-check-time",
        Kind.FLAG_DURATION,
        "1m",
        "Time between two comparisons of compactions with the other members', with the feature "
        "gate CompactHashCheck.",
    ),
    _row(
        "downgrade-check-time",
        Kind.FLAG_DURATION,
        "5s",
        "Time between two looks whether all members have reached the lower version.",
    ),
)
