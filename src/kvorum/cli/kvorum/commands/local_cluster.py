"""`kvorum local-cluster`: a cluster on this machine, in the foreground; and what is done to it."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.pflag import INT64, PATH, STRINGS
from kvorum.cli.shared.stdio import write_text

if TYPE_CHECKING:
    from kvorum.ops.local_cluster import LocalCluster

DEFAULT_FOLDER = ".kvorum"
POLL_S = 0.2
LOG_LINES = 20

_TEXT = """\
Without an ACTION the cluster is started and runs until Ctrl-C; its data stays, and the next start
goes on with it. What stands behind -- is given to every member, as `etcd` takes it.

Meanwhile, in another terminal: status; kill N (kill -9); stop N; restart N; replace N (a new
member with empty data in place of one that is lost); logs N.
"""


@command("local-cluster", "[ACTION [N]]", "Run a cluster of a few members on this machine", _TEXT)
@flag("size", INT64, 3, "number of members: 1, 3, 5 or 7  [default: 3]")
@flag("folder", PATH, DEFAULT_FOLDER, "where its data and logs are  [default: .kvorum]")
@flag("client-ports", STRINGS, [], "a port for each member  [default: 2379,22379,32379,…]")
@flag("peer-ports", STRINGS, [], "likewise, for members among each other  [default: one higher]")
def local_cluster(call: Call) -> None:
    from kvorum.ops.local_member import LocalClusterError  # noqa: PLC0415 - help needs none of it

    at_dash = call.flag_set.arguments_count_at_dash
    words = call.words if at_dash is None else call.words[:at_dash]
    extra_flags = [] if at_dash is None else call.words[at_dash:]
    action, numbers = (words[0], words[1:]) if words else ("start", [])
    try:
        if action == "start":
            _run_all(call, extra_flags, numbers)
            return
        act = _ACTIONS.get(action)
        if act is None or extra_flags:
            known = ", ".join(_ACTIONS)
            raise bad_args(f"unknown action {action!r}: it must be one of start, {known}")
        act(_opened(call), numbers)
    except LocalClusterError as error:
        raise CommandError(Exit.ERROR, str(error)) from None


def _run_all(call: Call, extra_flags: list[str], rest: list[str]) -> None:
    from kvorum.ops.local_cluster import LocalCluster  # noqa: PLC0415

    if rest:
        raise bad_args("start starts all members; `restart N` starts one of a running cluster")
    cluster = LocalCluster(
        Path(call.text("folder")),
        size=call.number("size"),
        client_ports=_ports(call, "client-ports"),
        peer_ports=_ports(call, "peer-ports"),
        extra_flags=extra_flags,
    )
    with _interruptible():
        try:
            with cluster:
                write_text(_welcome(call, cluster))
                # Also when all have been killed: somebody may be about to start them again.
                while True:
                    cluster.forget_ended()
                    time.sleep(POLL_S)
        except KeyboardInterrupt:
            write_text("\nStopped.\n")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM raise KeyboardInterrupt.

    Said outright, for a shell that starts us in the background has SIGINT ignored.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _welcome(call: Call, cluster: LocalCluster) -> str:
    endpoints = ",".join(cluster.endpoints)
    folder = call.text("folder")
    again = "kvorum local-cluster"
    if folder != DEFAULT_FOLDER:
        again += f" --folder={folder}"
    lines = [f"Kvorum is ready: {len(cluster.members)} members (data and logs: {folder})."]
    lines += [f"  {one.name}  {one.client_url}  (pid {one.pid()})" for one in cluster.members]
    lines += ["", "In another terminal:", ""]
    number = min(2, len(cluster.members))
    programs = Path(sys.executable).parent
    if shutil.which("kvorum") != str(programs / "kvorum"):
        # As after `make up`: nobody has activated the virtual environment.
        lines.append(f"  export PATH={shlex.quote(str(programs))}:$PATH")
    for text in (
        f"export ETCDCTL_ENDPOINTS={endpoints}",
        "etcdctl put greeting hello",
        "etcdctl get greeting",
        "etcdctl endpoint status --write-out=table",
        f"curl {cluster.endpoints[0]}/health",
        f"{again} kill {number}       # kill -9; the others go on",
        f"{again} restart {number}    # with its data",
        f"{again} replace {number}    # with a new member, as if its disk were lost",
        f"{again} status",
    ):
        lines.append(f"  {text}")
    lines += ["", "Any etcd client works. Ctrl-C stops all members; the data stays.", ""]
    return "\n".join(lines)


def _ports(call: Call, name: str) -> list[int]:
    texts = call.strings(name)
    if not all(text.isdigit() for text in texts):
        raise bad_args(f"--{name} must be numbers, separated by commas")
    return [int(text) for text in texts]


def _opened(call: Call) -> LocalCluster:
    from kvorum.ops.local_cluster import LocalCluster  # noqa: PLC0415

    return LocalCluster.opened(Path(call.text("folder")))


def _number(words: list[str]) -> int:
    if len(words) != 1 or not words[0].removeprefix("m").isdigit():
        raise bad_args("say which member: a number, from 1 on")
    return int(words[0].removeprefix("m"))


def _kill(cluster: LocalCluster, words: list[str]) -> None:
    number = _number(words)
    cluster.kill(number)
    write_text(f"{cluster.member(number).name} was killed\n")


def _stop(cluster: LocalCluster, words: list[str]) -> None:
    number = _number(words)
    cluster.stop_member(number)
    write_text(f"{cluster.member(number).name} has stopped\n")


def _restart(cluster: LocalCluster, words: list[str]) -> None:
    number = _number(words)
    cluster.restart(number)
    member = cluster.member(number)
    write_text(f"{member.name} serves again on {member.client_url} (pid {member.pid()})\n")


def _replace(cluster: LocalCluster, words: list[str]) -> None:
    number = _number(words)
    commands = cluster.replace(number)
    member = cluster.member(number)
    write_text(
        f"{member.name} is a new member now and serves on {member.client_url}. By hand that is:\n"
        + "".join(f"  {text}\n" for text in commands)
    )


def _logs(cluster: LocalCluster, words: list[str]) -> None:
    member = cluster.member(_number(words))
    write_text("".join(f"{line}\n" for line in member.log_tail(LOG_LINES)))


def _status(cluster: LocalCluster, words: list[str]) -> None:
    if words:
        raise bad_args("status takes no member")
    for member, told in zip(cluster.members, cluster.statuses(), strict=True):
        pid = member.pid()
        parts = [member.name, member.client_url, "stopped" if pid is None else f"pid {pid}"]
        if told is not None:
            role = "leader" if told.leader == told.header.member_id else "follower"
            role = "learner" if told.isLearner else role
            parts += [f"{told.header.member_id:x}", told.version, role]
            parts += [f"term {told.raftTerm}", f"index {told.raftIndex}"]
        elif pid is not None:
            parts.append("does not answer")
        write_text("  ".join(parts) + "\n")


_ACTIONS: dict[str, Callable[[LocalCluster, list[str]], None]] = {
    "status": _status,
    "kill": _kill,
    "stop": _stop,
    "restart": _restart,
    "replace": _replace,
    "logs": _logs,
}
