"""`etcdctl make-mirror`: copy keys to another cluster, and every change after them, until Ctrl-C.

Changes of one revision are one transaction at the destination. Every 30 s the number of keys that
were written there is printed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from kvorum.cli.etcdctl.session import Session, make_client, run
from kvorum.cli.etcdctl.settings import Settings
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.goquote import to_bytes
from kvorum.cli.shared.pflag import BOOL, PATH, STRING
from kvorum.cli.shared.stdio import write_text
from kvorum.client import Client, Mirror, describe, op_delete, op_put
from kvorum.errors import WireError
from kvorum.proto.kv_pb2 import Event
from kvorum.proto.rpc_pb2 import RequestOp, WatchResponse

REPORT_S: Final = 30.0
OPERATIONS_MAX: Final = 128
"""In a transaction: what a member takes unless it is told otherwise."""


@command(
    "make-mirror",
    "[options] DESTINATION",
    "Copy keys to another cluster, and go on with every change",
)
@flag("prefix", STRING, "", "only keys that begin with this")
@flag("dest-prefix", STRING, "", "what keys begin with there in place of --prefix")
@flag("no-dest-prefix", BOOL, False, "leave --prefix away there")
@flag("dest-cert", PATH, "", "file with the certificate to show to the destination")
@flag("dest-key", PATH, "", "file with the key of --dest-cert")
@flag("dest-cacert", PATH, "", "file with the CA certificates to check the destination with")
@flag("dest-insecure-transport", BOOL, True, "no TLS to the destination  [default: on]")
def make_mirror(call: Call) -> None:
    if len(call.words) != 1:
        raise bad_args("make-mirror takes one destination argument")
    prefix, their_prefix = to_bytes(call.text("prefix")), to_bytes(call.text("dest-prefix"))
    if call.on("no-dest-prefix") and their_prefix:
        raise bad_args(
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one"
        )
    keeps = not their_prefix and not call.on("no-dest-prefix")

    async def body(session: Session) -> None:
        settings = _destination(call, session.settings)
        async with make_client(settings, settings.endpoints) as destination:
            copying = _Copying(destination, prefix, prefix if keeps else their_prefix)
            telling = asyncio.ensure_future(copying.tell())
            try:
                await copying.run(Mirror(session.client, prefix))
            except WireError as error:
                raise CommandError(Exit.ERROR, describe(error)) from error
            finally:
                telling.cancel()

    run(call, body)


def _destination(call: Call, settings: Settings) -> Settings:
    """The settings, for the other cluster: nobody's user, its own certificates."""
    return replace(
        settings,
        endpoints=(call.words[0],),
        cert=call.text("dest-cert"),
        key=call.text("dest-key"),
        cacert=call.text("dest-cacert"),
        insecure_transport=call.on("dest-insecure-transport"),
        user="",
        password="",
    )


class _Copying:
    def __init__(self, destination: Client, prefix: bytes, their_prefix: bytes) -> None:
        self._destination = destination
        self._prefix = prefix
        self._their_prefix = their_prefix
        self._written = 0

    async def tell(self) -> None:
        """Print how many keys were written, now and then."""
        while True:
            await asyncio.sleep(REPORT_S)
            write_text(f"{self._written}\n")

    async def run(self, mirror: Mirror) -> None:
        async for kvs in mirror.pages():
            for kv in kvs:
                await self._destination.kv.put(self._key(kv.key), kv.value, timeout_s=None)
                self._written += 1
        async with mirror.changes() as watcher:
            async for response in watcher:
                await self._apply(response)

    async def _apply(self, response: WatchResponse) -> None:
        """Do the changes of each revision together, and in their order."""
        operations: list[RequestOp] = []
        revision = 0
        for event in response.events:
            if operations and event.kv.mod_revision != revision:
                await self._commit(operations)
                operations = []
            revision = event.kv.mod_revision
            if len(operations) == OPERATIONS_MAX:
                await self._commit(operations)
                operations = []
            key = self._key(event.kv.key)
            if event.type == Event.DELETE:
                operations.append(op_delete(key))
            else:
                operations.append(op_put(key, event.kv.value))
        if operations:
            await self._commit(operations)

    async def _commit(self, operations: list[RequestOp]) -> None:
        await self._destination.kv.txn().then(*operations).commit(timeout_s=None)
        self._written += len(operations)

    def _key(self, key: bytes) -> bytes:
        return self._their_prefix + key[len(self._prefix) :]
