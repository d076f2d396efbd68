"""`etcdctl member ...`."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.cli.etcdctl.session import Session, run
from kvorum.cli.shared.cobra import Call, command, flag
from kvorum.cli.shared.exits import CommandError, Exit, bad_args
from kvorum.cli.shared.gonum import GoParseError, parse_uint
from kvorum.cli.shared.pflag import BOOL, STRING
from kvorum.cluster.urls import check_urls
from kvorum.errors import ConfigError


@command(
    "list",
    "",
    "List the members of the cluster",
    "With --write-out=simple each line has: ID, status, name, peer URLs, client URLs, whether the "
    "member is a learner.",
)
def member_list(call: Call) -> None:
    async def body(session: Session) -> None:
        response = await session.client.cluster.member_list(timeout_s=session.timeout_s)
        session.display.member_list(response)

    run(call, body)


@command(
    "add",
    "NAME",
    "Add a member to the cluster",
    "Do this before the member is started. With --write-out=simple the settings to start it with "
    "are printed.",
)
@flag("peer-urls", STRING, "", "peer URLs of the new member, with commas between")
@flag("learner", BOOL, False, "the new member does not vote until it is promoted")
def member_add(call: Call) -> None:
    if not call.words:
        raise bad_args("member name not provided")
    if len(call.words) > 1:
        raise bad_args(_too_many(call.words))
    name, given = call.words[0], call.text("peer-urls")
    if not given:
        raise bad_args("member peer urls not provided")

    async def body(session: Session) -> None:
        response = await session.client.cluster.member_add(
            _checked(given), learner=call.on("learner"), timeout_s=session.timeout_s
        )
        session.display.member_add(name, given, response)

    run(call, body)


@command("remove", "ID", "Remove a member from the cluster")
def member_remove(call: Call) -> None:
    member_id = _member_id(call)

    async def body(session: Session) -> None:
        response = await session.client.cluster.member_remove(
            member_id, timeout_s=session.timeout_s
        )
        session.display.member_remove(member_id, response)

    run(call, body)


@command("update", "ID", "Tell the cluster new peer URLs of a member")
@flag("peer-urls", STRING, "", "the member's peer URLs, with commas between")
def member_update(call: Call) -> None:
    member_id = _member_id(call)
    given = call.text("peer-urls")
    if not given:
        raise bad_args("member peer urls not provided")

    async def body(session: Session) -> None:
        response = await session.client.cluster.member_update(
            member_id, _checked(given), timeout_s=session.timeout_s
        )
        session.display.member_update(member_id, response)

    run(call, body)


@command("promote", "ID", "Make a learner a voting member")
def member_promote(call: Call) -> None:
    member_id = _member_id(call)

    async def body(session: Session) -> None:
        response = await session.client.cluster.member_promote(
            member_id, timeout_s=session.timeout_s
        )
        session.display.member_promote(member_id, response)

    run(call, body)


def _member_id(call: Call) -> int:
    if len(call.words) != 1:
        raise bad_args("member ID is not provided")
    try:
        return parse_uint(call.words[0], 16)
    except GoParseError as error:
        raise bad_args(f"bad member ID arg ({error}), expecting ID in Hex") from None


def _too_many(words: Sequence[str]) -> str:
    # Who writes the URL where the flag should be is told so, as stock tells it.
    hints = [f", did you mean --peer-urls={word}" for word in words if _is_url(word)]
    return "too many arguments" + "".join(hints)


def _is_url(word: str) -> bool:
    return word.lower().startswith("http")


def _checked(given: str) -> list[str]:
    """The URLs, once they have been found well-formed; in the order in which they were given."""
    urls = given.split(",")
    try:
        check_urls(urls)
    except ConfigError as error:
        raise CommandError(Exit.ERROR, str(error)) from None
    return urls
