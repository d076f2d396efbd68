"""Users: the token is fetched once, sent with every call, and fetched again when it is refused."""

from __future__ import annotations

import asyncio

import pytest

from kvorum.client import Client
from kvorum.client.methods import AUTHENTICATE, RANGE
from kvorum.errors import (
    AuthFailedError,
    AuthNotEnabledError,
    AuthOldRevisionError,
    ConfigError,
    InvalidAuthTokenError,
    WireError,
)
from kvorum.proto.rpc_pb2 import AuthenticateRequest, AuthenticateResponse, RangeResponse
from tests.unit.client.fakes import FakeMember, serving


class GuardedMember(FakeMember):
    """Knows one user; its tokens are numbered, and only those in `good` are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens_count = 0
        self.good: set[str] = set()
        self.stale: WireError = InvalidAuthTokenError()
        self.unary[AUTHENTICATE.path] = self.authenticate
        self.unary[RANGE.path] = self.range

    async def authenticate(
        self, request: AuthenticateRequest, context: object
    ) -> AuthenticateResponse:
        if (request.name, request.password) != ("u", "pw"):
            raise AuthFailedError()
        self.tokens_count += 1
        token = f"token{self.tokens_count}"
        self.good.add(token)
        return AuthenticateResponse(token=token)

    async def range(self, request: object, context: object) -> RangeResponse:
        if self.metadata[-1].get("token") not in self.good:
            raise self.stale
        return RangeResponse()


async def test_calls_that_begin_together_share_one_token() -> None:
    member = GuardedMember()
    async with serving(member), Client([member.endpoint], user="u", password="pw") as client:
        await asyncio.gather(*(client.kv.get(b"k") for _ in range(10)))
        assert member.calls.count(AUTHENTICATE.path) == 1


@pytest.mark.parametrize("error", [InvalidAuthTokenError(), AuthOldRevisionError()], ids=str)
async def test_a_token_that_has_expired_is_replaced(error: WireError) -> None:
    member = GuardedMember()
    member.stale = error
    async with serving(member), Client([member.endpoint], user="u", password="pw") as client:
        await client.kv.get(b"k")
        member.good.clear()
        await client.kv.get(b"k")
        assert member.tokens_count == 2


async def test_a_new_token_that_is_refused_too_is_an_error() -> None:
    member = GuardedMember()

    async def refuse(request: object, context: object) -> RangeResponse:
        raise InvalidAuthTokenError()

    member.unary[RANGE.path] = refuse
    async with serving(member), Client([member.endpoint], user="u", password="pw") as client:
        with pytest.raises(InvalidAuthTokenError):
            await client.kv.get(b"k")
        assert member.calls.count(RANGE.path) == 2


async def test_a_wrong_password_is_an_error_of_every_call() -> None:
    member = GuardedMember()
    async with serving(member), Client([member.endpoint], user="u", password="no") as client:
        for _ in range(2):
            with pytest.raises(AuthFailedError):
                await client.kv.get(b"k")
        assert RANGE.path not in member.calls


async def test_without_authentication_in_the_cluster_no_token_is_sent() -> None:
    member = FakeMember()

    async def not_enabled(request: object, context: object) -> AuthenticateResponse:
        raise AuthNotEnabledError()

    async def range_(request: object, context: object) -> RangeResponse:
        return RangeResponse()

    member.unary[AUTHENTICATE.path] = not_enabled
    member.unary[RANGE.path] = range_
    async with serving(member), Client([member.endpoint], user="u", password="pw") as client:
        await client.kv.get(b"k")
        await client.kv.get(b"k")
        assert member.calls == [AUTHENTICATE.path, RANGE.path, RANGE.path]
        assert "token" not in member.metadata[-1]


async def test_a_user_without_a_password_is_refused() -> None:
    with pytest.raises(ConfigError):
        Client(user="u")
