"""`etcdctl put`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import bad_args
from kvorum.cli.shared.gonum import GoParseError, parse_int
from kvorum.cli.shared.goquote import to_bytes
from kvorum.cli.shared.pflag import BOOL, STRING
from kvorum.cli.shared.stdio import stdin
from kvorum.proto.rpc_pb2 import PutRequest

_ARGUMENTS = "put command needs 1 argument and input from stdin or 2 arguments"


@command(
    "put",
    "KEY [VALUE]",
    "Write a key",
    "Without VALUE the value is read from standard input.\n\n"
    "A value that begins with '-' would be taken for a flag: write '--' before it, as in "
    "`put KEY -- -VALUE`.",
)
@flag("lease", STRING, "0", "ID of the lease that the key ends with (hexadecimal)")
@flag("prev-kv", BOOL, False, "print what the key was before")
@flag("ignore-value", BOOL, False, "keep the key's value")
@flag("ignore-lease", BOOL, False, "keep the key's lease")
def put(call: Call) -> None:
    request = put_request(call.words, call.flag_set.values, may_read_stdin=True)

    async def body(session: Session) -> None:
        response = await session.client.kv.put_request(request, timeout_s=session.timeout_s)
        session.display.put(response)

    run(call, body)


def put_request(
    words: Sequence[str], flags: Mapping[str, Any], *, may_read_stdin: bool
) -> PutRequest:
    """The request that the arguments and flags of a put stand for.

    Raises:
        CommandError: they stand for none.
    """
    if not words:
        raise bad_args(_ARGUMENTS)
    if flags["ignore-value"] and len(words) > 1:
        raise bad_args("put command needs only 1 argument when 'ignore-value' is set")
    value = b"" if flags["ignore-value"] else _value(words, may_read_stdin=may_read_stdin)
    try:
        lease = parse_int(flags["lease"], 16)
    except GoParseError as error:
        raise bad_args(f"bad lease ID ({error}), expecting ID in Hex") from None
    return PutRequest(
        key=to_bytes(words[0]),
        value=value,
        lease=lease,
        prev_kv=flags["prev-kv"],
        ignore_value=flags["ignore-value"],
        ignore_lease=flags["ignore-lease"],
    )


def _value(words: Sequence[str], *, may_read_stdin: bool) -> bytes:
    if len(words) > 1:
        return to_bytes(words[1])
    value = stdin().read() if may_read_stdin else b""
    if not value:
        raise bad_args(_ARGUMENTS)
    return value
