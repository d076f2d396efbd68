"""Other processes that read the member's database beside it: to copy it, to hash it.

A worker is a module that is run with the file's path. It writes one byte to standard output as soon
as it reads one transaction of the file, then its result, if it has one; the exit code is 0, or the
reason is the last line on standard error. Its standard input is held open by the member and never
written: when it ends, so should the worker.

A worker that reads keeps the pages of its transaction from being used again, so the file grows by
what is written meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from kvorum.errors import Code, StatusError, StoppedError
from kvorum.server.opening_gate import OpeningGate
from kvorum.server.worker import READY
from kvorum.storage import Backend, CommitFailedError

COMMIT_POLL_S: Final = 0.002
ERROR_BYTES_MAX: Final = 4096


async def wait_committed(backend: Backend, is_stopped: Callable[[], bool]) -> None:
    """Return when everything that was applied before the call is committed.

    Raises:
        StatusError: it could not be written.
        StoppedError: the member is stopping.
    """
    try:
        batch = backend.expedite()
        while backend.settled_count < batch:
            if is_stopped():
                raise StoppedError
            backend.maybe_commit_nowait()
            await asyncio.sleep(COMMIT_POLL_S)
    except CommitFailedError as error:
        raise StatusError(Code.INTERNAL, f"etcdserver: {error}") from error
    if is_stopped():
        raise StoppedError


def start_worker(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A worker's process. It finds its modules where this one has them, however it was told.

    Costs 1 to 2 ms on the loop: by vfork, so a large member pays no more than a small one.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def failure_reason(process: subprocess.Popen[bytes]) -> str:
    """Why a worker, which has ended, did so before its work was done."""
    assert process.stderr is not None
    text = process.stderr.read(ERROR_BYTES_MAX).decode("utf-8", "replace").strip()
    return text.rsplit("\n", 1)[-1] or f"its process ended with {process.returncode}"


class DatabaseWorkers:
    """The workers of one member, and the gate for all who open its database.

    Args:
        backend: the database.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self.gate = OpeningGate()

    async def run(self, module: str, *arguments: str) -> str:
        """Run a worker to its end, with everything in it that was applied before the call.

        Returns:
            What it wrote.

        Raises:
            StatusError: it failed.
            StoppedError: the member is stopping.
        """
        await wait_committed(self._backend, lambda: self._stopped)
        return await self._run(module, os.fspath(self._backend.path), *arguments)

    async def run_beside(self, module: str, *arguments: str) -> str:
        """Run a worker that does not read the member's database; as `run`."""
        if self._stopped:
            raise StoppedError
        return await self._run(module, *arguments)

    async def _run(self, module: str, *arguments: str) -> str:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        async with self.gate.opening():
            process = start_worker(module, *arguments)
            self._running.add(process)
            try:
                transport, _ = await loop.connect_read_pipe(
                    lambda: asyncio.StreamReaderProtocol(reader), process.stdout
                )
            except BaseException:
                await self._end(process)
                raise
            try:
                await reader.read(len(READY))
            except BaseException:
                transport.close()
                await self._end(process)
                raise
        try:
            output = await reader.read()
            code = await loop.run_in_executor(None, process.wait)
            self._check(process, code)
        finally:
            transport.close()
            await self._end(process)
        return output.decode()

    async def stop(self) -> None:
        """End every worker."""
        self._stopped = True
        for process in tuple(self._running):
            process.kill()

    def _check(self, process: subprocess.Popen[bytes], code: int) -> None:
        if self._stopped:
            raise StoppedError
        if code != 0:
            reason = failure_reason(process)
            raise StatusError(Code.UNKNOWN, f"etcdserver: a worker failed: {reason}")

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._running.discard(process)
        process.kill()
        await asyncio.get_running_loop().run_in_executor(None, process.wait)
        for pipe in (process.stdin, process.stderr):
            assert pipe is not None
            pipe.close()
        if not self._stopped:
            self._backend.forget_dead_readers()
