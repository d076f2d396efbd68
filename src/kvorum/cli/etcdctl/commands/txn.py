"""`etcdctl txn`: a transaction read from standard input.

Three sections, each ended by an empty line: comparisons, what is done when they hold, what is done
when they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from kvorum.cli.etcdctl.argify import argify
from kvorum.cli.etcdctl.commands.delete import delete, delete_request
from kvorum.cli.etcdctl.commands.get import get, range_request
from kvorum.cli.etcdctl.commands.put import put, put_request
from kvorum.cli.etcdctl.scan import parse_comparison
from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, Command, command, flag, flag_set_of
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.goquote import to_text
from kvorum.cli.shared.pflag import BOOL, FlagError, FlagSet
from kvorum.cli.shared.stdio import stdin, write_error, write_text
from kvorum.proto.rpc_pb2 import RequestOp, TxnRequest

ItemT = TypeVar("ItemT")

_OPERATIONS: dict[str, Command] = {"del": delete, "get": get, "put": put}


@command(
    "txn",
    "",
    "Run a transaction that is read from standard input",
    "Comparisons, one a line, then an empty line; operations for when they hold, then an empty "
    "line; operations for when they do not, then an empty line.\n\n"
    'A comparison is TARGET("KEY") OP "VALUE" with the targets version (ver), create (c), mod (m), '
    "value (val), lease, and one of = != < >. An operation is a get, put or del command.",
)
@flag("interactive", BOOL, False, "ask for each part", shorthand="i")
def txn(call: Call) -> None:
    if call.words:
        raise bad_args("txn command does not accept argument")

    async def body(session: Session) -> None:
        request = _read_transaction(interactive=call.on("interactive"))
        # Like stock: no time limit.
        response = await session.client.kv.commit(request, timeout_s=None)
        session.display.txn(response)

    run(call, body)


def _read_transaction(*, interactive: bool) -> TxnRequest:
    def ask(text: str) -> None:
        if interactive:
            write_text(f"{text}:\n")

    request = TxnRequest()
    ask("compares")
    request.compare.extend(_read_section(parse_comparison))
    ask("success requests (get, put, del)")
    request.success.extend(_read_section(_parse_operation))
    ask("failure requests (get, put, del)")
    request.failure.extend(_read_section(_parse_operation))
    return request


def _read_section(parse: Callable[[bytes], ItemT]) -> list[ItemT]:
    """Read lines up to an empty one."""
    items: list[ItemT] = []
    while True:
        line = stdin().readline()
        if not line.endswith(b"\n"):
            raise CommandError(Exit.INVALID_INPUT, "EOF")
        line = line.strip()
        if not line:
            return items
        items.append(parse(line))


def _parse_operation(line: bytes) -> RequestOp:
    words = argify(line)
    if len(words) < 2:
        # Stock's words: it means the operation.
        raise CommandError(Exit.INVALID_INPUT, f"invalid txn compare request: {to_text(line)}")
    name = _operation_name(words[0])
    if name is None:
        raise _invalid(line)
    flag_set = flag_set_of(_OPERATIONS[name], [])
    try:
        flag_set.parse(words[1:])
    except FlagError:
        write_error(_usage(name))
        raise _invalid(line) from None
    if flag_set.values["help"]:
        write_error(_usage(name))
        raise _invalid(line)
    return _operation(name, flag_set)


def _operation(name: str, flag_set: FlagSet) -> RequestOp:
    words, flags = flag_set.arguments, flag_set.values
    match name:
        case "put":
            return RequestOp(request_put=put_request(words, flags, may_read_stdin=False))
        case "get":
            return RequestOp(request_range=range_request(words, flags))
    return RequestOp(request_delete_range=delete_request(words, flags))


def _operation_name(word: str) -> str | None:
    """The operation that `word` names, in full or by its beginning."""
    names = [word] if word in _OPERATIONS else [n for n in _OPERATIONS if n.startswith(word)]
    return names[0] if len(names) == 1 else None


def _invalid(line: bytes) -> CommandError:
    return CommandError(Exit.INVALID_INPUT, f"invalid txn request: {to_text(line)}")


def _usage(name: str) -> str:
    operation = _OPERATIONS[name]
    return operation.get_usage(click.Context(operation, info_name=name)) + "\n"
