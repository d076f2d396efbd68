"""Commands that only have others below them."""

from kvorum.cli.shared.cobra import Group

_COMMANDS = "kvorum.cli.etcdctl.commands"

LEASE = Group(
    "lease",
    "Lease related commands",
    {
        "grant": f"{_COMMANDS}.lease:grant",
        "keep-alive": f"{_COMMANDS}.lease:keep_alive",
        "list": f"{_COMMANDS}.lease:list_leases",
        "revoke": f"{_COMMANDS}.lease:revoke",
        "timetolive": f"{_COMMANDS}.lease:time_to_live",
    },
)

ALARM = Group(
    "alarm",
    "Alarm related commands",
    {
        "disarm": f"{_COMMANDS}.alarm:disarm",
        "list": f"{_COMMANDS}.alarm:list_alarms",
    },
)

CHECK = Group(
    "check",
    "Commands that check what a cluster can take",
    {
        "datascale": f"{_COMMANDS}.check:datascale",
        "perf": f"{_COMMANDS}.check:perf",
    },
)

ENDPOINT = Group(
    "endpoint",
    "Commands about single members",
    {
        "hashkv": f"{_COMMANDS}.endpoint:hash_kv",
        "health": f"{_COMMANDS}.endpoint:health",
        "status": f"{_COMMANDS}.endpoint:status",
    },
)

MEMBER = Group(
    "member",
    "Membership commands",
    {
        "add": f"{_COMMANDS}.member:member_add",
        "list": f"{_COMMANDS}.member:member_list",
        "promote": f"{_COMMANDS}.member:member_promote",
        "remove": f"{_COMMANDS}.member:member_remove",
        "update": f"{_COMMANDS}.member:member_update",
    },
)

DOWNGRADE = Group(
    "downgrade",
    "Take the cluster to a lower version",
    {
        "cancel": f"{_COMMANDS}.downgrade:cancel",
        "enable": f"{_COMMANDS}.downgrade:enable",
        "validate": f"{_COMMANDS}.downgrade:validate",
    },
)

SNAPSHOT = Group(
    "snapshot",
    "Commands about snapshot files",
    {
        "restore": f"{_COMMANDS}.snapshot_files:restore",
        "save": f"{_COMMANDS}.snapshot:save",
        "status": f"{_COMMANDS}.snapshot_files:status",
    },
)
