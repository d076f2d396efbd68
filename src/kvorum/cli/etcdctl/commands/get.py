"""`etcdctl get`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvorum.cli.etcdctl.keyrange import key_range
from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.pflag import BOOL, INT64, STRING
from kvorum.proto.rpc_pb2 import RangeRequest

_ORDERS = {
    "": RangeRequest.NONE,
    "ASCEND": RangeRequest.ASCEND,
    "DESCEND": RangeRequest.DESCEND,
}
_TARGETS = {
    "": RangeRequest.KEY,
    "CREATE": RangeRequest.CREATE,
    "KEY": RangeRequest.KEY,
    "MODIFY": RangeRequest.MOD,
    "VALUE": RangeRequest.VALUE,
    "VERSION": RangeRequest.VERSION,
}


@command(
    "get",
    "KEY [RANGE_END]",
    "Read a key, or the keys in [KEY, RANGE_END)",
)
@flag("consistency", STRING, "l", "l: as the majority knows it; s: as this member does")
@flag("count-only", BOOL, False, "print the number of keys (with --write-out=fields)")
@flag("from-key", BOOL, False, "read KEY and every key after it")
@flag("keys-only", BOOL, False, "read only the keys")
@flag("limit", INT64, 0, "read so many keys at most")
@flag("order", STRING, "", "ASCEND or DESCEND")
@flag("prefix", BOOL, False, "read every key that begins with KEY")
@flag("print-value-only", BOOL, False, "print only the values (with --write-out=simple)")
@flag("rev", INT64, 0, "read as of this revision")
@flag("sort-by", STRING, "", "CREATE, KEY, MODIFY, VALUE or VERSION")
def get(call: Call) -> None:
    request = range_request(call.words, call.flag_set.values)

    async def body(session: Session) -> None:
        response = await session.client.kv.range(request, timeout_s=session.timeout_s)
        write_out = session.display.name
        if call.on("count-only") and write_out != "fields":
            raise bad_args("--count-only is only for `--write-out=fields`")
        value_only = call.on("print-value-only")
        if value_only and write_out != "simple":
            raise bad_args("print-value-only is only for `--write-out=simple`")
        session.display.get(response, value_only=value_only)

    run(call, body)


def range_request(words: Sequence[str], flags: Mapping[str, Any]) -> RangeRequest:
    """The request that the arguments and flags of a get stand for.

    Raises:
        CommandError: they stand for none.
    """
    if not words:
        raise bad_args(
            "get command needs one argument as key and an optional argument as range_end"
        )
    prefix, from_key = flags["prefix"], flags["from-key"]
    if prefix and from_key:
        raise bad_args("`--prefix` and `--from-key` cannot be set at the same time, choose one")
    if flags["keys-only"] and flags["count-only"]:
        raise bad_args(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one"
        )
    if flags["consistency"] not in {"l", "s"}:
        raise CommandError(Exit.BAD_FEATURE, f'unknown consistency flag "{flags["consistency"]}"')
    key, range_end = key_range(words, prefix=prefix, from_key=from_key)
    order = _ORDERS.get(flags["order"].upper())
    if order is None:
        raise CommandError(Exit.BAD_FEATURE, f"bad sort order {flags['order']}")
    target = _TARGETS.get(flags["sort-by"].upper())
    if target is None:
        raise CommandError(Exit.BAD_FEATURE, f"bad sort target {flags['sort-by']}")
    return RangeRequest(
        key=key,
        range_end=range_end,
        limit=flags["limit"],
        revision=flags["rev"],
        sort_order=order,
        sort_target=target,
        serializable=flags["consistency"] == "s",
        keys_only=flags["keys-only"],
        count_only=flags["count-only"],
    )
