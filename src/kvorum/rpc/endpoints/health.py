"""`/health`: whether the member serves, in one word.

Source: shared facts, client.md section 12; order of the checks, texts and log lines as 3.5.1.
"""

from __future__ import annotations

from typing import Any

from kvorum.errors import WireError
from kvorum.rpc.endpoints.answers import as_json, error, not_allowed
from kvorum.rpc.http import HttpRequest, HttpResponse
from kvorum.server.log import Logger
from kvorum.server.metrics.family import Values
from kvorum.server.ports import ProbePort

KNOWN_ALARMS = frozenset({"NOSPACE", "CORRUPT"})


class Health:
    """Answers `/health`, and counts how often it was good.

    Args:
        server: the member.
        reasons: the answer has a field `reason` (from 3.5 on).
        log: told of what is not good.
    """

    def __init__(self, server: ProbePort, log: Logger, *, reasons: bool) -> None:
        self._server = server
        self._log = log
        self._reasons = reasons
        self._good = 0
        self._bad = 0

    async def answer(self, request: HttpRequest) -> HttpResponse:
        if request.method != "GET":
            self._log.warn("/health error", status_code=405)
            return not_allowed("GET")
        query = request.query
        reason = await self.reason(
            serializable=query.get("serializable", [""])[0] == "true",
            excluded=frozenset(query.get("exclude", ())),
        )
        shown: dict[str, Any] = {"health": "false" if reason else "true"}
        if self._reasons:
            shown["reason"] = reason
        body = as_json(shown)
        if not reason:
            self._good += 1
            return HttpResponse(200, body)
        self._bad += 1
        self._log.warn("/health error", output=body.decode(), status_code=503)
        return error(503, body.decode())

    async def reason(self, *, serializable: bool, excluded: frozenset[str]) -> str:
        """Why the member is not healthy; empty: it is."""
        server = self._server
        for alarm in server.active_alarms():
            if alarm not in excluded:
                name = alarm if alarm in KNOWN_ALARMS else "UNKNOWN"
                self._log.warn("serving /health false due to an alarm", alarm=alarm)
                return f"ALARM {name}"
        if not serializable and not server.has_leader():
            self._log.warn("serving /health false; no leader")
            return "RAFT NO LEADER"
        try:
            await server.check_read(linearizable=not serializable)
        except WireError as failure:
            self._log.warn("serving /health false; Range fails", error=failure)
            return f"RANGE ERROR:{failure.message}"
        return ""

    def values(self) -> Values:
        return {
            "etcd_server_health_success": self._good,
            "etcd_server_health_failures": self._bad,
        }
