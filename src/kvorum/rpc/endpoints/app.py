"""Which plain endpoints a port has.

| port | endpoints |
| --- | --- |
| clients | /health /livez /readyz /version /metrics /debug/vars, /debug/pprof with its flag |
| metrics | /health /livez /readyz /metrics |

Source: shared facts, client.md section 12; `/metrics` ports of 3.5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kvorum.proto.versions import Version
from kvorum.rpc.endpoints import log_level
from kvorum.rpc.endpoints.answers import NOT_FOUND, as_json, clean_path, not_allowed
from kvorum.rpc.endpoints.checks import Checks
from kvorum.rpc.endpoints.health import Health
from kvorum.rpc.endpoints.insight import PPROF, Pprof, debug_vars
from kvorum.rpc.endpoints.log_level import LogLevel
from kvorum.rpc.endpoints.metrics import MetricsEndpoint, Source
from kvorum.rpc.http import JSON, HttpRequest, HttpResponse
from kvorum.rpc.metrics.process import GcPauses, process_values
from kvorum.server.log import Level, Logger
from kvorum.server.metrics.family import Values
from kvorum.server.ports import ProbePort

CHECKS_SINCE: Final = Version(3, 4)
"""Late 3.4 and 3.5 have /livez and /readyz as well."""
REASONS_SINCE: Final = Version(3, 5)
LOG_LEVEL_BEFORE: Final = Version(3, 5)


class Endpoints:
    """See the module. `client` and `metrics` are the apps of the two kinds of ports.

    Args:
        server: the member.
        log: told of failed probes; its level can be changed.
        calls: the figures of gRPC.
        version: presented; decides what there is.
        pprof: whether there is `/debug/pprof`, and the log's level can be changed whatever version
            is presented.
        on_log_level: called with the new level when it was changed.
    """

    def __init__(
        self,
        server: ProbePort,
        log: Logger,
        calls: Source,
        *,
        version: Version,
        pprof: bool = False,
        on_log_level: Callable[[Level], None] | None = None,
    ) -> None:
        self._server = server
        self._health = Health(server, log, reasons=version >= REASONS_SINCE)
        self._checks = Checks(server, log) if version >= CHECKS_SINCE else None
        self._pprof = Pprof() if pprof else None
        changes_level = pprof or version < LOG_LEVEL_BEFORE
        self._log_level = LogLevel(log, on_log_level) if changes_level else None
        self.pauses = GcPauses()
        sources: list[Source] = [server.metrics, calls, self._health.values, self._process]
        if self._checks is not None:
            sources.append(self._checks.values)
        self._metrics = MetricsEndpoint(sources)

    def _process(self) -> Values:
        return process_values(self.pauses)

    async def client(self, request: HttpRequest) -> HttpResponse:
        """Answer on a port for clients."""
        path, elsewhere = clean_path(request)
        if elsewhere is not None:
            return elsewhere
        if path == "/version":
            if request.method != "GET":
                return not_allowed("GET")
            return HttpResponse(200, as_json(self._server.versions()), JSON)
        if path == "/debug/vars":
            return debug_vars(request, self._server, self.pauses)
        if self._pprof is not None and (path == PPROF or path.startswith(f"{PPROF}/")):
            return await self._pprof.answer(request, path)
        if self._log_level is not None and path == log_level.PATH:
            return await self._log_level.answer(request)
        return await self._probe(request, path)

    async def metrics(self, request: HttpRequest) -> HttpResponse:
        """Answer on a port for metrics."""
        path, elsewhere = clean_path(request)
        return elsewhere or await self._probe(request, path)

    async def _probe(self, request: HttpRequest, path: str) -> HttpResponse:
        if path == "/health":
            return await self._health.answer(request)
        if path == "/metrics":
            return self._metrics.answer(request)
        if self._checks is not None and self._checks.covers(path):
            return await self._checks.answer(request, path)
        return NOT_FOUND
