"""`/livez` and `/readyz`: named checks, one by one or all together, as Kubernetes asks for them.

    GET /readyz?verbose&exclude=non_learner
    [+]data_corruption ok
    [+]serializable_read ok
    [+]linearizable_read ok
    ok

Source: shared facts, client.md section 12; KEP-4331.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from kvorum.errors import KvorumError
from kvorum.rpc.endpoints.answers import NOSNIFF, error, not_allowed
from kvorum.rpc.http import TEXT, HttpRequest, HttpResponse
from kvorum.server.log import Logger
from kvorum.server.metrics.family import Labelled, Value, Values
from kvorum.server.ports import ProbePort

Check = Callable[[ProbePort], Awaitable[None]]


class CheckFailedError(KvorumError):
    """A check did not hold; the text says why."""


async def _data_corruption(server: ProbePort) -> None:
    if "CORRUPT" in server.active_alarms():
        raise CheckFailedError("alarm activated: CORRUPT")


async def _serializable_read(server: ProbePort) -> None:
    await server.check_read(linearizable=False)


async def _linearizable_read(server: ProbePort) -> None:
    await server.check_read(linearizable=True)


async def _non_learner(server: ProbePort) -> None:
    if server.is_learner():
        raise CheckFailedError("not supported for learner")


CHECKS: Final[Mapping[str, Mapping[str, Check]]] = {
    "livez": {"serializable_read": _serializable_read},
    "readyz": {
        "data_corruption": _data_corruption,
        "serializable_read": _serializable_read,
        "linearizable_read": _linearizable_read,
        "non_learner": _non_learner,
    },
}
"""Checks by their name, by the name of the endpoint."""


class Checks:
    """Answers `/livez`, `/readyz` and each check below them, and counts the results."""

    def __init__(self, server: ProbePort, log: Logger) -> None:
        self._server = server
        self._log = log
        self._last: dict[tuple[str, ...], int] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def covers(self, path: str) -> bool:
        """Whether there is such an endpoint."""
        _, kind, *names = path.split("/")
        known = CHECKS.get(kind)
        return known is not None and (not names or (len(names) == 1 and names[0] in known))

    async def answer(self, request: HttpRequest, path: str) -> HttpResponse:
        """The result of the checks at `path`, which `covers` has found good."""
        if request.method != "GET":
            self._log.warn("Health request error", path=path, status_code=405)
            return not_allowed("GET")
        _, kind, *names = path.split("/")
        if not names:
            excluded = request.query.get("exclude", ())
            names = [name for name in CHECKS[kind] if name not in excluded]
        succeeded, lines = await self._run(kind, names)
        if not succeeded:
            self._log.error("Health check error", path=path, reason=lines, status_code=503)
            return error(503, lines)
        shown = lines if "verbose" in request.query else ""
        return HttpResponse(200, f"{shown}ok\n".encode(), TEXT, (NOSNIFF,))

    async def _run(self, kind: str, names: Iterable[str]) -> tuple[bool, str]:
        """Whether all hold, and a line for each."""
        succeeded, lines = True, []
        for name in names:
            try:
                await CHECKS[kind][name](self._server)
            except KvorumError as failure:
                succeeded = False
                lines.append(f"[-]{name} failed: {getattr(failure, 'message', failure)}\n")
                self._note(kind, name, good=False)
            else:
                lines.append(f"[+]{name} ok\n")
                self._note(kind, name, good=True)
        return succeeded, "".join(lines)

    def _note(self, kind: str, name: str, *, good: bool) -> None:
        self._last[name, kind] = int(good)
        key = (name, "success" if good else "error", kind)
        self._counts[key] = self._counts.get(key, 0) + 1

    def values(self) -> Values:
        values: dict[str, Value | Labelled] = {
            "etcd_server_healthcheck": dict(self._last),
            "etcd_server_healthchecks_total": dict(self._counts),
        }
        return values
