"""Commands that only have others below them."""

from kvorum.cli.shared.cobra import Group

_COMMANDS = "kvorum.cli.etcdutl.commands"

SNAPSHOT = Group(
    "snapshot",
    "Commands about snapshot files",
    {
        "restore": f"{_COMMANDS}.snapshot:restore",
        "save": f"{_COMMANDS}.snapshot:save",
        "status": f"{_COMMANDS}.snapshot:status",
    },
)

INSPECT = Group(
    "inspect",
    "Look into data files",
    {
        "bucket": f"{_COMMANDS}.inspect:bucket",
        "buckets": f"{_COMMANDS}.inspect:buckets",
        "log": f"{_COMMANDS}.inspect:log",
    },
)
