"""The tree of commands."""

from __future__ import annotations

from kvorum.cli.shared.cobra import Group

NAME = "kvorum"

_COMMANDS = "kvorum.cli.kvorum.commands"

ROOT = Group(
    NAME,
    "Clusters of etcd members: what etcd's own programs do not do",
    {
        "completion": "kvorum.cli.shared.completion:completion",
        "help": "kvorum.cli.shared.program:help_command",
        "local-cluster": f"{_COMMANDS}.local_cluster:local_cluster",
        "version": "kvorum.cli.shared.version:version",
    },
    usage_on_stderr=True,
)
