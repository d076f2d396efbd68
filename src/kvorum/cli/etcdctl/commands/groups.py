"""Commands that only have others below them."""

from kvorum.cli.etcdctl.cobra import Group

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
        "list": f"{_COMMANDS}.member:member_list",
    },
)
