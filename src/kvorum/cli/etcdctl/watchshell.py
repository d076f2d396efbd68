"""`etcdctl watch --interactive`: watches that are begun by lines of standard input.

    watch [--rev N] [--prefix] [--prev-kv] KEY [RANGE_END] [-- COMMAND ...]
    progress

Lines that cannot be understood are complained of and passed over; a watch that the member ends
leaves the others going. The end of the input is an error, as in stock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque

from kvorum.cli.etcdctl.argify import argify
from kvorum.cli.etcdctl.session import Session
from kvorum.cli.etcdctl.watchargs import KEY_VARIABLE, WatchArguments, watch_arguments
from kvorum.cli.etcdctl.watching import WatchEndedError, begin, follow
from kvorum.cli.shared.cobra import flag_set_of
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.goquote import to_text
from kvorum.cli.shared.pflag import FlagError, FlagSet
from kvorum.cli.shared.stdio import write_error
from kvorum.client import Watcher

STDIN = 0
READ_BYTES = 4096


class WatchShell:
    """The watches that were begun so far. `flags` makes what reads the flags of a line."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._watchers: list[Watcher] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read lines until the input ends or a command fails.

        Raises:
            CommandError: always.
        """
        lines = StdinLines()
        next_line = asyncio.create_task(lines.next())
        try:
            while True:
                await asyncio.wait({next_line, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
                self._look_at_tasks()
                if next_line.done():
                    self._do(next_line.result())
                    next_line = asyncio.create_task(lines.next())
        finally:
            for task in (next_line, *self._tasks):
                task.cancel()
            await asyncio.gather(next_line, *self._tasks, return_exceptions=True)

    def _look_at_tasks(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            task.result()

    def _do(self, line: bytes | None) -> None:
        if line is None:
            raise CommandError(Exit.INVALID_INPUT, "error reading watch request line: EOF")
        text = to_text(line)
        words = argify(line)
        if not words:
            write_error(f"Invalid command: {text} (watch and progress supported)\n")
        elif words[0] == "progress":
            if self._watchers:
                self._watchers[-1].request_progress()
        elif words[0] != "watch":
            write_error(f"Invalid command {text} (only support watch)\n")
        elif len(words) == 1 and not os.environ.get(KEY_VARIABLE):
            write_error(f"Invalid command {text} (command type or key is not provided)\n")
        else:
            self._begin(text, _arguments(words[1:]))

    def _begin(self, text: str, arguments: WatchArguments) -> None:
        if arguments.problem:
            write_error(f"Invalid command {text} ({arguments.problem})\n")
            return
        watcher = begin(self._session, arguments)
        self._watchers.append(watcher)
        self._tasks.add(asyncio.create_task(self._follow(watcher, arguments.command)))

    async def _follow(self, watcher: Watcher, command: tuple[str, ...]) -> None:
        try:
            await follow(self._session, watcher, command)
        except WatchEndedError:
            self._watchers.remove(watcher)


def _arguments(words: list[str]) -> WatchArguments:
    from kvorum.cli.etcdctl.commands.watch import watch  # noqa: PLC0415 - it imports us

    flag_set: FlagSet = flag_set_of(watch, [])
    try:
        flag_set.parse(words)
    except FlagError as error:
        raise bad_args(str(error)) from None
    if flag_set.values["help"]:
        raise bad_args("pflag: help requested")
    return watch_arguments(flag_set)


class StdinLines:
    """Lines of standard input, read by a thread of its own.

    The thread reads the descriptor and not `sys.stdin`: it is still in that read when the process
    ends, and would hold the lock that the interpreter wants to flush and close the stream.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: deque[bytes] = deque()
        self._ended = False
        self._arrived = asyncio.Event()
        threading.Thread(target=self._read, name="etcdctl-stdin", daemon=True).start()

    async def next(self) -> bytes | None:
        """The next line, without its newline; None at the end. A line without one is none."""
        while not self._lines:
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._lines.popleft()

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(OSError):  # it may be closed; that is its end too
            while data := os.read(STDIN, READ_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                self._loop.call_soon_threadsafe(self._take, lines)
        self._loop.call_soon_threadsafe(self._take, None)

    def _take(self, lines: list[bytes] | None) -> None:
        if lines is None:
            self._ended = True
        else:
            self._lines += lines
        self._arrived.set()
