"""A snapshot as the client's users see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from kvorum.client import (
    Client,
    ClientOptions,
    ConnectDeadlineError,
    ConnectionLostError,
    DeadlineExceededError,
    SnapshotPart,
)
from kvorum.client.methods import AUTHENTICATE, SNAPSHOT
from kvorum.errors import InvalidAuthTokenError, NoLeaderError, StatusError
from kvorum.proto.rpc_pb2 import AuthenticateResponse, SnapshotResponse
from tests.unit.client.fakes import FakeMember, fail, serving

PIECES = [(6, b"abcd"), (2, b"efgh"), (0, b"ij"), (0, b"x" * 32)]


def member_with(pieces: list[tuple[int, bytes]], *, hang: bool = False) -> FakeMember:
    member = FakeMember()

    async def snapshot(_: AsyncIterator[Any], __: Any) -> AsyncIterator[SnapshotResponse]:
        for remaining, blob in pieces:
            yield SnapshotResponse(remaining_bytes=remaining, blob=blob, version="3.6.0")
        if hang:
            await asyncio.Event().wait()

    member.streams[SNAPSHOT.path] = snapshot
    return member


async def take_all(client: Client, **limits: Any) -> list[SnapshotPart]:
    return [part async for part in client.maintenance.snapshot(**limits)]


async def test_the_pieces_come_in_order_with_what_remains() -> None:
    async with serving(member_with(PIECES)) as member, Client([member.endpoint]) as client:
        parts = await take_all(client)
        assert [(part.remaining_bytes, part.blob) for part in parts] == PIECES
        assert {part.version for part in parts} == {"3.6.0"}


@pytest.mark.parametrize(
    "pieces", [[*PIECES[:1], *PIECES[2:]], [PIECES[1], PIECES[0]], [*PIECES[:2], (2, b"ij")]]
)
async def test_pieces_that_do_not_follow_each_other_are_refused(
    pieces: list[tuple[int, bytes]],
) -> None:
    async with serving(member_with(pieces)) as member, Client([member.endpoint]) as client:
        with pytest.raises(StatusError, match="pieces of the snapshot are missing"):
            await take_all(client)


async def test_a_member_that_stops_too_early_is_an_error() -> None:
    async with serving(member_with(PIECES[:2])) as member, Client([member.endpoint]) as client:
        with pytest.raises(ConnectionLostError, match="2 bytes too early"):
            await take_all(client)


async def test_time_that_is_over_is_a_deadline_error() -> None:
    """U11: not an error of the transport."""
    hanging = member_with(PIECES[:2], hang=True)
    async with serving(hanging) as member, Client([member.endpoint]) as client:
        with pytest.raises(DeadlineExceededError):
            await take_all(client, timeout_s=0.3)


async def test_a_member_that_cannot_be_reached_is_a_deadline_error() -> None:
    """U11. Without a limit of its own the call has that of every request, for connecting."""
    async with Client(["127.0.0.1:1"], options=ClientOptions(timeout_s=0.3)) as client:
        for limits in ({}, {"timeout_s": 0.3}):
            with pytest.raises(ConnectDeadlineError, match="context deadline exceeded"):
                await take_all(client, **limits)


async def test_a_refusal_is_the_members_own() -> None:
    async with serving(member_with([])) as member, Client([member.endpoint]) as client:

        async def refuse(_: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            await fail(context, StatusError(13, "the snapshot could not be built: x"))
            yield

        member.streams[SNAPSHOT.path] = refuse
        with pytest.raises(StatusError, match="could not be built: x"):
            await take_all(client)


async def test_the_next_endpoint_is_asked_while_nothing_has_come() -> None:
    async with (
        serving(member_with([])) as bad,
        serving(member_with(PIECES)) as good,
        Client([bad.endpoint, good.endpoint]) as client,
    ):

        async def refuse(_: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            await fail(context, NoLeaderError())
            yield

        bad.streams[SNAPSHOT.path] = refuse
        assert len(await take_all(client)) == len(PIECES)
        assert bad.calls == [SNAPSHOT.path]


async def test_a_token_that_is_old_is_renewed() -> None:
    member = member_with(PIECES)
    well = member.streams[SNAPSHOT.path]

    async def authenticate(_: Any, __: Any) -> AuthenticateResponse:
        return AuthenticateResponse(token=f"t{len(member.calls)}")

    async def refuse_first(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        if member.calls.count(SNAPSHOT.path) == 1:
            await fail(context, InvalidAuthTokenError())
        async for response in well(requests, context):
            yield response

    member.unary[AUTHENTICATE.path] = authenticate
    member.streams[SNAPSHOT.path] = refuse_first
    async with serving(member), Client([member.endpoint], user="u", password="p") as client:
        assert len(await take_all(client)) == len(PIECES)
    tokens = [one["token"] for one in member.metadata if "token" in one]
    assert len(set(tokens)) == 2


async def test_an_iterator_that_is_closed_ends_the_call() -> None:
    ended = asyncio.Event()
    member = FakeMember()

    async def snapshot(_: AsyncIterator[Any], __: Any) -> AsyncIterator[SnapshotResponse]:
        try:
            yield SnapshotResponse(remaining_bytes=10, blob=b"a")
            await asyncio.Event().wait()
        finally:
            ended.set()

    member.streams[SNAPSHOT.path] = snapshot
    async with serving(member), Client([member.endpoint]) as client:
        async with aclosing(client.maintenance.snapshot()) as parts:
            async for _ in parts:
                break
        await asyncio.wait_for(ended.wait(), 10)
