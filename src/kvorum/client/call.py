"""What the parts of a client have in common: calls with the client's default time limit."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

from kvorum.client.methods import Method, RequestT, ResponseT
from kvorum.client.transport import Transport


class _Default(Enum):
    DEFAULT = "the client's own"


DEFAULT: Final = _Default.DEFAULT
"""As a time limit: `ClientOptions.timeout_s`. (None cannot stand for it: that means no limit.)"""

Timeout = float | None | Literal[_Default.DEFAULT]


class Service:
    """Base of KV, Leases, Cluster and Maintenance."""

    __slots__ = ("_transport",)

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        timeout_s: Timeout,
        endpoint: str | None = None,
    ) -> ResponseT:
        if timeout_s is DEFAULT:
            timeout_s = self._transport.options.timeout_s
        return await self._transport.unary(method, request, timeout_s=timeout_s, endpoint=endpoint)
