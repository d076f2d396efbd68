"""Runs the scripts of `etcdctl_table` with one client on one server, and makes results comparable.

    results = run_script(["/usr/bin/etcdctl"], "127.0.0.1:2379", PUT)

Two results of the same script are compared as they are: what must differ between two runs (times,
sizes, lease ids, ports, log indexes) is replaced here by a name.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.interop.etcdctl_steps import DEAD_ENDPOINT, Script, Step

STEP_DEADLINE_S = 20.0
POLL_S = 0.005

SAME_IDENTITY = (
    "--initial-advertise-peer-urls=http://127.0.0.1:2380",
    "--initial-cluster=m1=http://127.0.0.1:2380",
)
"""Flags that give two servers the same cluster and member id: those are made of the peer URLs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step did. `stdout` and `stderr` are normalised."""

    line: str
    returncode: int
    stdout: bytes
    stderr: bytes


def run_script(
    client: Sequence[str],
    endpoint: str,
    script: Script,
    *,
    environment: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    modern: bool = True,
) -> list[Outcome]:
    """Run every step.

    Args:
        client: the command that etcdctl is.
        endpoint: `host:port` of a fresh server.
        script: the steps.
        environment: variables that the client needs.
        names: more of what `{name}` in a line may stand for.
        modern: False leaves out the steps that a client before 3.5 does not know.
    """
    runner = _Runner(client, endpoint, dict(environment or {}))
    runner.names |= dict(names or {})
    return [runner.step(step) for step in script.steps if modern or not step.modern]


class _Runner:
    """One client on one server."""

    def __init__(self, client: Sequence[str], endpoint: str, environment: dict[str, str]) -> None:
        self._client, self._endpoint = list(client), endpoint
        self._environment = environment
        self.names = {"ep": endpoint, "dead": DEAD_ENDPOINT}
        self._normaliser = Normaliser(endpoint)

    def step(self, step: Step) -> Outcome:
        line = self._filled(step.line)
        words = shlex.split(line)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        environment |= self._environment
        if "--endpoints" not in line:
            environment["ETCDCTL_ENDPOINTS"] = self._endpoint
        environment |= {name: self._filled(value) for name, value in step.env.items()}
        process = subprocess.Popen(
            [*self._client, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        try:
            returncode, stdout, stderr = _converse(process, step)
        finally:
            process.kill()
            process.wait()
        if step.save is not None:
            name, pattern = step.save
            match = re.search(pattern, stdout.decode())
            assert match is not None, (line, stdout, stderr)
            self.names[name] = match[1]
        return self._outcome(step, returncode, stdout, stderr)

    def _outcome(self, step: Step, returncode: int, stdout: bytes, stderr: bytes) -> Outcome:
        out, err = self._normaliser.stdout(stdout), self._normaliser.stderr(stderr)
        if step.usage:
            out, err = _without_usage(out, err)
        if step.any_order:
            out = b"".join(sorted(out.splitlines(keepends=True)))
            err = b"".join(sorted(err.splitlines(keepends=True)))
        return Outcome(step.line, returncode, out, err)

    def _filled(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: self.names[match[1]], text)


class _Collected:
    """What a process has written so far, read by threads."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.out, self.err = bytearray(), bytearray()
        self._threads = [
            threading.Thread(target=_drain, args=(process.stdout, self.out)),
            threading.Thread(target=_drain, args=(process.stderr, self.err)),
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> tuple[bytes, bytes]:
        for thread in self._threads:
            thread.join()
        return bytes(self.out), bytes(self.err)


def _drain(stream: object, into: bytearray) -> None:
    with stream:  # type: ignore[attr-defined]
        while data := os.read(stream.fileno(), 65536):  # type: ignore[attr-defined]
            into += data


def _converse(process: subprocess.Popen[bytes], step: Step) -> tuple[int, bytes, bytes]:
    if step.until is None and not step.talk:
        try:
            stdout, stderr = process.communicate(step.stdin or b"", STEP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {STEP_DEADLINE_S} s: {step.line}") from None
        return process.returncode, stdout, stderr
    assert process.stdin is not None
    collected = _Collected(process)
    for expected, sent in step.talk:
        _wait(process, collected, expected, anywhere=True)
        if sent and process.poll() is None:
            process.stdin.write(sent)
            process.stdin.flush()
    if step.until is not None:
        _wait(process, collected, step.until, anywhere=False)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    else:
        process.stdin.close()
    returncode = process.wait(STEP_DEADLINE_S)
    stdout, stderr = collected.join()
    process.stdin.close()
    return returncode, stdout, stderr


def _wait(
    process: subprocess.Popen[bytes], collected: _Collected, expected: bytes, *, anywhere: bool
) -> None:
    """Wait for a text in the output; with `anywhere`, in standard error too."""
    give_up = time.monotonic() + STEP_DEADLINE_S
    while expected not in collected.out and not (anywhere and expected in collected.err):
        if process.poll() is not None:
            return  # it ended instead; the outcome will show it
        assert time.monotonic() < give_up, (process.args, collected.out, collected.err)
        time.sleep(POLL_S)


class Normaliser:
    """Replaces what differs between two runs that did the same."""

    _SUBSTITUTIONS = (
        (re.compile(rb"took = [\d.]+(ns|\xc2\xb5s|ms|s)"), b"took = <took>"),
        (re.compile(rb'"took":"[\d.]+(ns|\xc2\xb5s|ms|s)"'), b'"took":"<took>"'),
        (re.compile(rb'"Took" : [\d.]+(ns|\xc2\xb5s|ms|s)'), b'"Took" : <took>'),
        (re.compile(rb'"(dbSize|dbSizeInUse)":\d+'), rb'"\1":<size>'),
        (re.compile(rb'"(DBSize|DBSizeInUse)" : \d+'), rb'"\1" : <size>'),
        (re.compile(rb"\d[\d.]* ([kMG]?B),"), b"<size>,"),
        (re.compile(rb'"(raftIndex|raftAppliedIndex)":\d+'), rb'"\1":<index>'),
        (re.compile(rb'"(RaftIndex|RaftAppliedIndex)" : \d+'), rb'"\1" : <index>'),
        (re.compile(rb"(true|false), (\d+), \d+, \d+, "), rb"\1, \2, <index>, <index>, "),
        (re.compile(rb"(version: )\d+\.\d+(\.\d+)?"), rb"\1<version>"),
        (re.compile(rb"remaining\(2[6-9]\ds\)"), b"remaining(<299>s)"),
        (re.compile(rb'"ttl":2[6-9]\d,"granted-ttl":300'), b'"ttl":<299>,"granted-ttl":300'),
        (re.compile(rb'"TTL" : 2[6-9]\d\n"GrantedTTL"'), b'"TTL" : <299>\n"GrantedTTL"'),
    )
    # The client of 3.4 has another log.
    _LOG_SUBSTITUTIONS = (
        (re.compile(rb"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ ", re.MULTILINE), b"<time> "),
        # Go finds a connection that the server has closed out in one of two ways.
        (re.compile(rb"write tcp \S+: use of closed network connection"), b"connection closed"),
        (re.compile(rb"endpoint://client-[-0-9a-f]{36}/"), b"endpoint://<client>/"),
    )
    _LEASE_HEX = re.compile(rb"(?<=lease )[0-9a-f]{16}|^[0-9a-f]{16}$", re.MULTILINE)
    # What locks and elections are made of: keys with the hex of a lease, and in base64.
    _QUEUE_KEY = re.compile(rb'(?<=n/)[0-9a-f]{12,16}\b|(?<="key":")bi8[^"]{16,}(?=")')
    _LEASE_DECIMAL = re.compile(rb'("ID" : |"ID":|"id":|"lease":|"Lease" : )(\d{16,})')
    _TABLE = re.compile(rb"[ -]{2,}")

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.encode()
        self._leases: dict[int, bytes] = {}

    def stdout(self, data: bytes) -> bytes:
        data = data.replace(self._endpoint, b"<endpoint>")
        data = self._LEASE_HEX.sub(lambda match: self._lease(int(match[0], 16)), data)
        data = self._QUEUE_KEY.sub(b"<key>", data)
        data = self._LEASE_DECIMAL.sub(lambda m: m[1] + self._lease(int(m[2])), data)
        if data.startswith(b"+--"):
            data = self._table(data)
        for pattern, replacement in self._SUBSTITUTIONS:
            data = pattern.sub(replacement, data)
        return data

    def _table(self, data: bytes) -> bytes:
        """Grids with a time or a size: the width of its column varies with it."""
        lines = data.split(b"\n")
        heading = lines[1]
        if b" TOOK " not in heading and b" DB SIZE " not in heading:
            return data
        data = re.sub(rb" [\d.]+(ns|\xc2\xb5s|ms|s) (?=\|)", b" <took> ", data)
        data = re.sub(rb" \d[\d.]* [kMG]?B \|", b" <size> |", data)
        data = re.sub(rb"\|\s+\d+ \|\s+\d+ \|(?=[^|]*\|\n)", b"| <index> | <index> |", data)
        return self._TABLE.sub(b" ", data)

    def stderr(self, data: bytes) -> bytes:
        lines = data.replace(self._endpoint, b"<endpoint>").splitlines(keepends=True)
        data = b"".join(self._log_line(line) if line.startswith(b"{") else line for line in lines)
        for pattern, replacement in (*self._SUBSTITUTIONS, *self._LOG_SUBSTITUTIONS):
            data = pattern.sub(replacement, data)
        # With --debug the transport's own log follows the flags: it is no contract.
        return b"".join(
            line
            for line in data.splitlines(keepends=True)
            if not re.match(rb"(INFO|WARNING): |[IWE]\d{4} |D\d{4} ", line)
        )

    @staticmethod
    def _log_line(line: bytes) -> bytes:
        try:
            fields = json.loads(line)
        except ValueError:
            return line
        fields.pop("stacktrace", None)  # of a Go program
        if "ts" in fields:
            fields["ts"] = type(fields["ts"]).__name__
        if "target" in fields:
            fields["target"] = re.sub(r"0x[0-9a-f]+", "<pointer>", fields["target"])
        return json.dumps(fields).encode() + b"\n"

    def _lease(self, number: int) -> bytes:
        name = self._leases.setdefault(number, b"<lease %d>" % (len(self._leases) + 1))
        return name if number > 2**32 else b"%d" % number


def _without_usage(stdout: bytes, stderr: bytes) -> tuple[bytes, bytes]:
    """Usage texts differ in wording; that there is one does not."""
    start = stderr.find(b"Usage:")
    if start >= 0:
        end = stderr.find(b"Error:", start)
        stderr = stderr[:start] + b"<usage>\n" + (stderr[end:] if end >= 0 else b"")
    return (b"<usage>\n" if stdout else b""), stderr
