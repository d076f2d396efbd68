"""Write the tables of docs/configuration.md from the table of flags.

python tools/gen_config.py            write them
python tools/gen_config.py --check    exit 1 if the page differs from what would be written
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from kvorum.embed.config_flag import Flag, Section  # noqa: E402
from kvorum.embed.config_gates import ALL_OF_STAGE, GATES  # noqa: E402
from kvorum.embed.config_table import SUPPORTED  # noqa: E402
from kvorum.embed.config_table_later import FLAGS, IGNORED, NOT_YET  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- tables: tools/gen_config.py -->", "<!-- end of the tables -->"


def tables() -> str:
    """Everything between the two marks."""
    shown = [*SUPPORTED, *(flag for flag in NOT_YET if flag.help)]
    parts = [_section(section, shown) for section in Section]
    later = ", ".join(f"`--{flag.name}`" for flag in NOT_YET if not flag.help)
    parts.append(f"## Not supported yet\n\nTaken with their defaults alone: {later}.\n")
    parts.append(_old_names())
    parts.append(_gates())
    old = ", ".join(f"`--{name}`" for name in IGNORED)
    parts.append(f"## Taken and ignored\n\nFlags of long ago, as in etcd: {old}.\n")
    return "\n".join(filter(None, parts))


def _section(section: Section, flags: Iterable[Flag]) -> str:
    rows = [_row(flag) for flag in flags if flag.section is section]
    if not rows:
        return ""
    head = f"## {section.value}\n\n| flag | default | meaning |\n| --- | --- | --- |\n"
    return head + "".join(rows)


def _row(flag: Flag) -> str:
    default = f"`{flag.default}`" if flag.default else ""
    for version, text in flag.older_defaults:
        default += f"; `{text}` before {version.short}"
    text = re.sub(r"(?<!\w)'([^']*)'", r"`\1`", flag.help)
    return f"| `--{flag.name}` | {default} | {text} |\n"


def _old_names() -> str:
    names = [flag for flag in FLAGS.values() if flag.is_old_name]
    rows = "".join(
        f"| `--{flag.name}` | "
        + (f"`--{flag.replaced_by}`" if flag.replaced_by else f"feature gate `{flag.gate}`")
        + " |\n"
        for flag in names
    )
    return f"## Older names\n\n| older name | stands for |\n| --- | --- |\n{rows}"


def _gates() -> str:
    rows = "".join(
        f"| `{name}` | {str(gate.default).lower()} | {gate.stage.lower()} | {gate.since.short} | "
        f"{'stays so: ' + gate.reason if gate.reason else ''} |\n"
        for name, gate in GATES.items()
    )
    every = " and ".join(f"`{name}`" for name in ALL_OF_STAGE)
    return (
        "## Feature gates\n\n| gate | default | stage | since | |\n"
        f"| --- | --- | --- | --- | --- |\n{rows}\n"
        f"{every} set all gates of a stage that are not named themselves.\n"
    )


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{tables()}\n{END}{tail}"


def main() -> None:
    wanted = page()
    if "--check" in sys.argv[1:]:
        if wanted != PAGE.read_text(encoding="utf-8"):
            sys.exit(f"{PAGE} is not up to date: run python tools/gen_config.py")
        return
    PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
