"""`etcdctl lock`: hold a lock until Ctrl-C, or while a command runs.

The lock is let go of in either case, and so is the session's lease (stock leaves that to its time).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.etcdctl.until_signal import interrupts, unless_set
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.goquote import to_bytes, to_text
from kvorum.cli.shared.pflag import INT64
from kvorum.client import Mutex
from kvorum.client import Session as ClientSession

TTL_S = 10
NO_EXIT_CODE = 255
"""Of a command that was ended by a signal."""
SIGNAL_NAMES = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGABRT: "aborted",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGPIPE: "broken pipe",
    signal.SIGTERM: "terminated",
}
"""As Go writes them."""


@command(
    "lock",
    "NAME [COMMAND ARGUMENT...]",
    "Acquire a lock",
    "Without a command the lock is held, and its key printed, until Ctrl-C. With one it is held "
    "while the command runs, with ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment.",
)
@flag("ttl", INT64, TTL_S, "seconds after which the lock is lost if etcdctl vanishes")
def lock(call: Call) -> None:
    if not call.words:
        raise bad_args("lock takes a lock name argument and an optional command to execute")
    name, words = to_bytes(call.words[0]), call.words[1:]

    async def body(session: Session) -> None:
        async with interrupts() as interrupted:
            opened = session.client.session(ttl_s=call.number("ttl"))
            async with opened:
                mutex = opened.lock(name)
                if await unless_set(interrupted, _acquired(mutex)) is None:
                    raise CommandError(Exit.ERROR, "context canceled")
                if words:
                    await _run_command(mutex, words)
                else:
                    await _hold(session, opened, mutex, interrupted)

    run(call, body)


async def _acquired(mutex: Mutex) -> bool:
    await mutex.acquire()
    return True


async def _hold(
    session: Session, opened: ClientSession, mutex: Mutex, interrupted: asyncio.Event
) -> None:
    response = await session.client.kv.get(mutex.key, timeout_s=None)
    if not response.kvs:
        raise CommandError(Exit.ERROR, "lock lost on init")
    session.display.get(response)
    if await unless_set(interrupted, opened.wait_over()) is not None:
        raise CommandError(Exit.ERROR, "session expired")
    await mutex.release()


async def _run_command(mutex: Mutex, words: list[str]) -> None:
    variables = {
        "ETCD_LOCK_KEY": to_text(mutex.key),
        "ETCD_LOCK_REV": str(mutex.revision),
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=subprocess.DEVNULL, env=variables | dict(os.environ)
        )
        code = await process.wait()
    except OSError as error:
        await mutex.release()
        raise CommandError(Exit.ERROR, _not_run(words[0], error)) from error
    await mutex.release()
    if code < 0:
        number = signal.Signals(-code)
        text = SIGNAL_NAMES.get(number, number.name.lower())
        raise _Ended(NO_EXIT_CODE, f"signal: {text}")
    if code > 0:
        raise _Ended(code, f"exit status {code}")


def _not_run(name: str, error: OSError) -> str:
    if "/" not in name and isinstance(error, FileNotFoundError):
        return f'exec: "{name}": executable file not found in $PATH'
    return f"fork/exec {name}: {(error.strerror or str(error)).lower()}"


class _Ended(CommandError):
    """The command's exit code becomes ours."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(Exit.ERROR, text)
        self.code = code  # type: ignore[assignment]  # any number
