"""What `etcd --help`, `etcd --version` and a wrong flag print.

Form as in etcd; contents are true for this version of Kvorum: flags that it does not support yet
are named at the end, and only there.
"""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterable

import kvorum
from kvorum.embed.config_flag import Flag, Section
from kvorum.embed.config_table import SUPPORTED
from kvorum.embed.config_table_later import NOT_YET
from kvorum.proto.versions import DEFAULT_SERVER_VERSION

USAGE = """\
Usage:

  etcd [flags]
    Start a server.

  etcd --version
    Show the version.

  etcd -h | --help
    Show this help.

  etcd --config-file FILE
    Start a server by a YAML file. All other flags, and the environment, are then ignored.

Each flag can be set by an environment variable too: --data-dir is ETCD_DATA_DIR.

"""

_WIDTH = 100
_GO_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def help_text() -> str:
    """The flags by section, with their defaults."""
    shown = [*SUPPORTED, *(flag for flag in NOT_YET if flag.help)]
    parts = [_section(section, shown) for section in Section]
    later = ", ".join(f"--{flag.name}" for flag in NOT_YET if not flag.help)
    parts.append(
        "Not supported by this version of Kvorum (taken with their default values only):\n"
    )
    parts.append(_indented(later))
    return "\n" + "\n".join(filter(None, parts))


def _section(section: Section, flags: Iterable[Flag]) -> str:
    rows = [
        f"  --{flag.name} '{flag.default}'\n{_indented(flag.help)}"
        for flag in flags
        if flag.section is section
    ]
    return f"{section.value}:\n{''.join(rows)}" if rows else ""


def _indented(text: str) -> str:
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="    ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines) + "\n"


def version_text() -> str:
    """Four lines with the labels that programs look for; the values say what really runs."""
    machine = platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return (
        f"etcd Version: {DEFAULT_SERVER_VERSION}\n"
        f"Git SHA: kvorum-{kvorum.__version__}\n"
        f"Go Version: none ({python})\n"
        f"Go OS/Arch: {platform.system().lower()}/{_GO_MACHINES.get(machine, machine)}\n"
    )
