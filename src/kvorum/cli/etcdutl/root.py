"""The tree of commands and the global flag."""

from __future__ import annotations

from kvorum.cli.shared.cobra import Group, flag
from kvorum.cli.shared.pflag import STRING

NAME = "etcdutl"
FORMS = ("fields", "json", "protobuf", "simple", "table")

_COMMANDS = "kvorum.cli.etcdutl.commands"

ROOT = Group(
    NAME,
    "Tool for the data files of etcd, ours and stock's, while no member works on them",
    {
        "completion": "kvorum.cli.shared.completion:completion",
        "defrag": f"{_COMMANDS}.defrag:defrag",
        "hashkv": f"{_COMMANDS}.hashkv:hash_kv",
        "help": "kvorum.cli.shared.program:help_command",
        "inspect": f"{_COMMANDS}.groups:INSPECT",
        "migrate": f"{_COMMANDS}.migrate:migrate",
        "snapshot": f"{_COMMANDS}.groups:SNAPSHOT",
        "verify": f"{_COMMANDS}.verify:verify",
        "version": "kvorum.cli.shared.version:version",
    },
    usage_on_stderr=True,
)

flag(
    "write-out",
    STRING,
    "simple",
    f"output: {', '.join(FORMS)}",
    shorthand="w",
    choices=FORMS,
)(ROOT)
