"""docs/configuration.md holds every flag, gate and older name, as the program knows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kvorum.embed.config_gates import GATES
from kvorum.embed.config_table_later import FLAGS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"


def test_the_page_is_what_the_table_of_flags_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "gen_config.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_flag_and_every_gate_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in FLAGS if f"`--{name}`" not in text] == []
    assert [name for name in GATES if f"`{name}`" not in text] == []
