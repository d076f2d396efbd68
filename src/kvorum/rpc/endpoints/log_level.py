"""`PUT /config/local/log`: another log level while the member runs.

    curl -X PUT http://127.0.0.1:2379/config/local/log -d '{"Level":"DEBUG"}'

Source: answers of 3.4.23; etcd has had no such endpoint since 3.5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from kvorum.rpc.endpoints.answers import as_json, not_allowed
from kvorum.rpc.http import JSON, HttpRequest, HttpResponse
from kvorum.server.log import Level, Logger

PATH: Final = "/config/local/log"
LEVELS: Final[Mapping[str, Level]] = {
    **{level.name: level for level in Level},
    "CRITICAL": Level.DPANIC,
    "WARNING": Level.WARN,
    "NOTICE": Level.INFO,
    "TRACE": Level.DEBUG,
}
"""Names that are taken: those of etcd up to 3.4 and those of `--log-level`."""


class LogLevel:
    """Answers requests for another level of `log`.

    Args:
        changed: called with the new level.
    """

    def __init__(self, log: Logger, changed: Callable[[Level], None] | None = None) -> None:
        self._log = log
        self._changed = changed

    async def answer(self, request: HttpRequest) -> HttpResponse:
        if request.method != "PUT":
            return not_allowed("PUT")
        try:
            wanted = json.loads(request.body)
        except ValueError:
            return _refusal("Invalid json body")
        if not isinstance(wanted, dict):
            return _refusal("Invalid json body")
        name = _member(wanted, "level")
        level = LEVELS.get(name.upper()) if isinstance(name, str) else None
        if level is None:
            return _refusal(f"Invalid log level {name}")
        self._log.set_level(level)
        if self._changed is not None:
            self._changed(level)
        self._log.warn("log level changed", log_level=level.name.lower())
        return HttpResponse(204, b"", "")


def _member(values: dict[str, Any], name: str) -> Any:
    """A member by its name in any case, as Go's decoder finds it."""
    return next((value for key, value in values.items() if key.lower() == name), "")


def _refusal(text: str) -> HttpResponse:
    return HttpResponse(400, as_json({"message": text}), JSON)
