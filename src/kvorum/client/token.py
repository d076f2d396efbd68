"""The token that stands for user and password in every call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kvorum.errors import (
    AuthNotEnabledError,
    AuthOldRevisionError,
    ConfigError,
    InvalidAuthTokenError,
    WireError,
)
from kvorum.proto.rpc_pb2 import AuthenticateRequest, AuthenticateResponse

Metadata = tuple[tuple[str, str], ...]
REQUIRE_LEADER: Metadata = (("hasleader", "true"),)
"""Have a member that knows no leader refuse. Source: shared facts, client.md section 4."""

Authenticate = Callable[[AuthenticateRequest], Awaitable[AuthenticateResponse]]


class TokenSource:
    """Fetches a token when it is first needed, and again when a member refuses it."""

    __slots__ = ("_authenticate", "_lock", "_metadata", "_request")

    def __init__(self, user: str | None, password: str | None, authenticate: Authenticate) -> None:
        if (user is None) != (password is None):
            raise ConfigError("a user needs a password, and a password a user")
        self._request = None if user is None else AuthenticateRequest(name=user, password=password)
        self._authenticate = authenticate
        self._metadata: Metadata | None = () if user is None else None
        self._lock = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """What to send with a call.

        Raises:
            AuthFailedError: wrong user or password.
        """
        if self._metadata is not None:
            return self._metadata
        async with self._lock:  # calls that need the token meanwhile wait for this one
            if self._metadata is None:
                self._metadata = await self._fetch()
        return self._metadata

    async def _fetch(self) -> Metadata:
        assert self._request is not None
        try:
            response = await self._authenticate(self._request)
        except AuthNotEnabledError:
            return ()  # then nobody looks at tokens
        return (("token", response.token),)

    def is_stale(self, error: WireError) -> bool:
        """Whether `error` means that a new token may help; then the next call fetches one."""
        if self._request is None:
            return False
        if not isinstance(error, (InvalidAuthTokenError, AuthOldRevisionError)):
            return False
        self._metadata = None
        return True
