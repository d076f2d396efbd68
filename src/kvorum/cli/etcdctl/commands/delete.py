"""`etcdctl del`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvorum.cli.etcdctl.keyrange import key_range
from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import bad_args
from kvorum.cli.shared.pflag import BOOL
from kvorum.proto.rpc_pb2 import DeleteRangeRequest

KEY_WORDS_MAX = 2


@command(
    "del",
    "KEY [RANGE_END]",
    "Delete a key, or the keys in [KEY, RANGE_END)",
)
@flag("from-key", BOOL, False, "delete KEY and every key after it")
@flag("prefix", BOOL, False, "delete every key that begins with KEY")
@flag("prev-kv", BOOL, False, "print what was deleted")
def delete(call: Call) -> None:
    request = delete_request(call.words, call.flag_set.values)

    async def body(session: Session) -> None:
        response = await session.client.kv.delete_range(request, timeout_s=session.timeout_s)
        session.display.delete(response)

    run(call, body)


def delete_request(words: Sequence[str], flags: Mapping[str, Any]) -> DeleteRangeRequest:
    """The request that the arguments and flags of a del stand for.

    Raises:
        CommandError: they stand for none.
    """
    if not 1 <= len(words) <= KEY_WORDS_MAX:
        raise bad_args(
            "del command needs one argument as key and an optional argument as range_end"
        )
    prefix, from_key = flags["prefix"], flags["from-key"]
    if prefix and from_key:
        raise bad_args("`--prefix` and `--from-key` cannot be set at the same time, choose one")
    key, range_end = key_range(words, prefix=prefix, from_key=from_key)
    return DeleteRangeRequest(key=key, range_end=range_end, prev_kv=flags["prev-kv"])
