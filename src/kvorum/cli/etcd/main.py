"""One server process: configuration, member, signals, exit code.

Source: etcd server/etcdmain; exit codes and signal behaviour: shared facts, flags.md section 5.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence

import uvloop

from kvorum.cli.etcd.prepare import EXIT_ERROR, EXIT_OK, log_start_failure, prepare
from kvorum.embed.member import Member
from kvorum.errors import KvorumError
from kvorum.server.log import Logger
from kvorum.server.member import RemovedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
INIT_PID = 1


async def serve(member: Member, log: Logger) -> int:
    """Run until a signal or a failure ends it.

    Returns:
        The exit code, or a signal's number negated: the process is then to die of that signal, as
        etcd does.
    """
    loop = asyncio.get_running_loop()
    signalled: asyncio.Future[signal.Signals] = loop.create_future()

    def on_signal(number: signal.Signals) -> None:
        if not signalled.done():
            log.info("received signal; shutting down", signal=_go_name(number))
            signalled.set_result(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    starting = asyncio.ensure_future(member.start())
    await asyncio.wait((starting, signalled), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait((starting,))
        return -signalled.result()
    try:
        starting.result()
    except RemovedError as error:
        return log_removed(log, error)
    except (KvorumError, OSError) as error:
        return log_start_failure(log, error)
    notify_init_daemon(log)
    failed = asyncio.ensure_future(member.wait_failed())
    await asyncio.wait((failed, signalled), return_when=asyncio.FIRST_COMPLETED)
    code = EXIT_OK
    if signalled.done():
        code = -signalled.result()
    if failed.done():
        reason = failed.exception()
        if isinstance(reason, RemovedError):
            code = log_removed(log, reason)
        else:
            code = EXIT_ERROR
            log.fatal("the member failed and stops", error=reason)
    else:
        failed.cancel()
    await member.stop()
    return code


def log_removed(log: Logger, error: RemovedError) -> int:
    """Log that the member is no part of its cluster any more; returns the exit code.

    It is no failure: whoever restarts processes that failed is not to restart this one.
    """
    log.warn("server error", error=error)
    log.warn("data-dir used by this member must be removed")
    return EXIT_OK


def notify_init_daemon(log: Logger) -> None:
    """Tell systemd that the member serves (sd_notify), where systemd asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    log.info("notifying init daemon")
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        try:
            daemon.sendto(b"READY=1", path)
        except OSError as error:
            log.error("failed to notify init daemon", error=error)
            return
    log.info("successfully notified init daemon")


def _go_name(number: signal.Signals) -> str:
    return {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}.get(number, number.name)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script `etcd`."""
    if not __debug__:
        raise SystemExit("etcd: refusing to run under python -O: the assertions guard your data")
    arguments = list(sys.argv[1:] if argv is None else argv)
    config, log = prepare(sys.argv[0], arguments, os.environ)
    log.route_libraries()
    code = uvloop.run(serve(Member(config, log.logger), log.logger))
    log.close()
    if code < 0 and os.getpid() == INIT_PID:
        code = EXIT_OK  # no signal would end the first process of a container
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    raise SystemExit(code)
