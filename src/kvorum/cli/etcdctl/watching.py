"""Following watches: printing their responses and running commands for their events."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Sequence

from kvorum.cli.etcdctl.session import Session
from kvorum.cli.etcdctl.watchargs import WatchArguments
from kvorum.cli.shared.exits import CommandError, Exit
from kvorum.cli.shared.goquote import quote, to_bytes
from kvorum.cli.shared.stdio import write_error, write_text
from kvorum.client import Watcher
from kvorum.errors import WireError
from kvorum.proto.kv_pb2 import Event
from kvorum.proto.rpc_pb2 import ResponseHeader, WatchResponse


class WatchEndedError(Exception):
    """The member ended a watch. It has been printed."""


def begin(session: Session, arguments: WatchArguments) -> Watcher:
    """Begin a watch."""
    key, range_end = arguments.key_range()
    return session.client.watch(
        key,
        range_end,
        start_revision=arguments.revision,
        prev_kv=arguments.prev_kv,
        progress_notify=arguments.progress_notify,
        require_leader=True,
    )


async def follow(session: Session, watcher: Watcher, command: Sequence[str]) -> None:
    """Print what a watch brings, and run `command` for each event, until it ends.

    Raises:
        WatchEndedError: the member ended it.
        CommandError: `command` failed.
    """
    try:
        async for response in watcher:
            if not response.events:
                write_text(f"progress notify: {response.header.revision}\n")
            session.display.watch(response)
            for event in response.events if command else ():
                await _run_command(command, event, response.header.revision)
    except WireError as error:
        _print_end(session, watcher, error)
        raise WatchEndedError from None


def _print_end(session: Session, watcher: Watcher, error: WireError) -> None:
    last = watcher.last_response
    reason = error.message
    if last is not None and last.cancel_reason:
        reason = last.cancel_reason
    write_error(f"watch was canceled ({reason})\n")
    if last is None:
        last = WatchResponse(header=ResponseHeader(), canceled=True)
    session.display.watch(last, refused=not last.compact_revision)


async def _run_command(command: Sequence[str], event: Event, revision: int) -> None:
    environment = os.environ | {
        "ETCD_WATCH_REVISION": str(revision),
        "ETCD_WATCH_EVENT_TYPE": quote(Event.EventType.Name(event.type)),
        "ETCD_WATCH_KEY": quote(event.kv.key),
        "ETCD_WATCH_VALUE": quote(event.kv.value),
    }
    failure = await asyncio.to_thread(_run_process, command, environment)
    if failure:
        words = " ".join(map(quote, command))
        write_error(f"command [{words}] error ({failure})\n")
        raise CommandError(Exit.ERROR, None)


def _run_process(command: Sequence[str], environment: dict[str, str]) -> str:
    """Run a process to its end; how it failed, in the words of Go's os/exec."""
    encoded = {name: to_bytes(value) for name, value in environment.items()}
    try:
        result = subprocess.run(command, env=encoded, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        if error.errno == errno.ENOENT and "/" not in command[0]:
            return f"exec: {quote(command[0])}: executable file not found in $PATH"
        return f"fork/exec {command[0]}: {(error.strerror or str(error)).lower()}"
    if result.returncode < 0:
        return f"signal: {_signal_text(-result.returncode)}"
    return f"exit status {result.returncode}" if result.returncode else ""


def _signal_text(number: int) -> str:
    text = signal.strsignal(number)
    return f"signal {number}" if text is None else text.lower()
