"""Comparing this member's data with the other members'.

initial     before clients are served: a member that differs does not start
periodic    the leader, every `--corrupt-check-time`: the hash of all keys now
compaction  the leader, every `--compact-hash-check-time`: the hashes that compactions made

A member that differs gets the alarm CORRUPT, which the whole cluster hears of; no member takes
requests for keys then, until the alarm is disarmed.

Source: etcd server/etcdserver/corrupt.go; shared facts, peer.md section 13.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kvorum.cluster.ids import hex_id
from kvorum.cluster.members import Cluster
from kvorum.errors import KvorumError, WireError
from kvorum.mvcc.compaction_hash import CompactionHash, CompactionHashes
from kvorum.server.key_hashes import Hashed
from kvorum.server.log import Logger
from kvorum.server.peer_ports import PeerError, PeerQueriesPort


class InconsistentError(KvorumError):
    """The data is not that of the other members; this one does not start."""

    def __init__(self, member_id: int) -> None:
        super().__init__(f"{hex_id(member_id)} found data inconsistency with peers")


@dataclass(frozen=True, slots=True)
class PeerHash:
    """What another member told of its keys; `newest` is its newest revision."""

    member_id: int
    value: int
    compact_revision: int
    newest: int


class CorruptionChecker:
    """See the module.

    Args:
        hash_here: the hash of this member's keys at a revision; 0: the newest.
        newest: this member's newest revision.
        wait_linearizable: returns when everything committed before has been applied.
        raise_alarm: raises CORRUPT for a member; 0: it is not known for which.
    """

    def __init__(
        self,
        member_id: int,
        cluster: Cluster,
        queries: PeerQueriesPort | None,
        hashes: CompactionHashes,
        *,
        hash_here: Callable[[int], Awaitable[Hashed]],
        newest: Callable[[], int],
        wait_linearizable: Callable[[], Awaitable[None]],
        raise_alarm: Callable[[int], Awaitable[object]],
        log: Logger,
    ) -> None:
        self._member_id = member_id
        self._cluster = cluster
        self._queries = queries
        self._hashes = hashes
        self._hash_here = hash_here
        self._newest = newest
        self._wait_linearizable = wait_linearizable
        self._raise_alarm = raise_alarm
        self._log = log
        self._checked_revision = 0

    # The three checks.

    async def check_initially(self) -> None:
        """Compare before the start.

        Raises:
            InconsistentError
        """
        name = hex_id(self._member_id)
        self._log.info("starting initial corruption check", local_member_id=name)
        ours = await self._hash_here(0)
        differing = 0
        for theirs in await self._ask(ours.revision):
            if theirs.value == ours.value:
                continue
            fields = {
                "local_member_id": name,
                "local_member_revision": ours.revision,
                "local_member_compact_revision": ours.compact_revision,
                "local_member_hash": ours.value,
                "remote_peer_id": hex_id(theirs.member_id),
                "remote_peer_revision": theirs.newest,
                "remote_peer_compact_revision": theirs.compact_revision,
                "remote_peer_hash": theirs.value,
            }
            if theirs.compact_revision == ours.compact_revision:
                differing += 1
                self._log.warn("found different hash values from remote peer", **fields)
            else:
                self._log.warn("found different compact revision values from remote peer", **fields)
        if differing:
            raise InconsistentError(self._member_id)
        self._log.info("initial corruption checking passed; no corruption", local_member_id=name)

    async def check_now(self) -> None:
        """Compare all keys; this member leads.

        Raises:
            UnavailableError: this member could not be sure to have the newest state.
        """
        first = await self._hash_here(0)
        peers = await self._ask(first.revision)
        await self._wait_linearizable()
        again = await self._hash_here(0)
        newest = self._newest()
        if (first.revision, first.compact_revision) == (
            again.revision,
            again.compact_revision,
        ) and first.value != again.value:
            await self._corrupt(self._member_id, "found hash mismatch")
            return
        for theirs in peers:
            reason = _contradiction(theirs, first, again, newest)
            if reason is not None:
                await self._corrupt(theirs.member_id, reason)
                return  # one alarm at a time, as in stock
        self._log.info("finished peer corruption check", number_of_peers_checked=len(peers))

    async def check_compactions(self) -> None:
        """Compare the hashes that compactions have made, the newest first; this member leads."""
        checked = 0
        for ours in self._hashes.newest_first():
            if ours.revision <= self._checked_revision:
                break
            checked += 1
            if await self._check_compaction(ours):
                break
        self._log.info("finished compaction hash check", number_of_hashes_checked=checked)

    async def _check_compaction(self, ours: CompactionHash) -> bool:
        """Compare one. True: nothing older needs to be looked at."""
        others = len(self._cluster.members()) - 1
        if not others:
            return False
        by_hash: dict[int, list[int]] = {ours.value: [self._member_id]}
        checked = 0
        for theirs in await self._ask(ours.revision):
            if theirs.compact_revision != ours.compact_revision:
                self._log.warn(
                    "Skipped peer's hash",
                    peer_id=hex_id(theirs.member_id),
                    reason="the peer's CompactRevision doesn't match leader's",
                )
                continue
            checked += 1
            by_hash.setdefault(theirs.value, []).append(theirs.member_id)
        if len(by_hash) == 1:
            if checked == others:
                self._checked_revision = max(self._checked_revision, ours.revision)
                self._log.info(
                    "successfully checked hash on whole cluster",
                    number_of_peers_checked=checked,
                    revision=ours.revision,
                    compactRevision=ours.compact_revision,
                )
                return True
            return False  # who was not asked may tell of an older one
        await self._accuse(ours, by_hash, quorum=(others + 1) // 2 + 1)
        return True

    async def _accuse(
        self, ours: CompactionHash, by_hash: dict[int, list[int]], *, quorum: int
    ) -> None:
        """Raise the alarm for all but the majority; without one, for nobody in particular."""
        right = next((value for value, ids in by_hash.items() if len(ids) >= quorum), None)
        if right is None:
            self._log.error(
                "Detected compaction hash mismatch but cannot identify the corrupted members, "
                "so intentionally set the memberID as 0",
                leader_compact_revision=ours.compact_revision,
                leader_revision=ours.revision,
                leader_hash=ours.value,
            )
            await self._raise_alarm(0)
            return
        for value, ids in by_hash.items():
            if value == right:
                continue
            for member_id in ids:
                self._log.error(
                    "Detected compaction hash mismatch",
                    leader_compact_revision=ours.compact_revision,
                    leader_revision=ours.revision,
                    leader_hash=ours.value,
                    member_id=hex_id(member_id),
                    member_hash=value,
                )
                await self._raise_alarm(member_id)

    # Asking and telling.

    async def _corrupt(self, member_id: int, reason: str) -> None:
        self._log.warn(reason, corrupted_member_id=hex_id(member_id))
        await self._raise_alarm(member_id)

    async def _ask(self, revision: int) -> list[PeerHash]:
        """The hashes of all other members that tell theirs."""
        others = [one for one in self._cluster.members() if one.id != self._member_id]
        answers = await asyncio.gather(
            *(self._hash_of(member.id, member.peer_urls, revision) for member in others)
        )
        return [answer for answer in answers if answer is not None]

    async def _hash_of(
        self, member_id: int, urls: tuple[str, ...], revision: int
    ) -> PeerHash | None:
        if self._queries is None:
            return None
        try:
            told = await self._queries.hash_kv(urls, revision)
            header = told.get("header") or {}
            return PeerHash(
                member_id,
                int(told.get("hash", 0)),
                int(told.get("compact_revision", 0)),
                int(header.get("revision", 0)),
            )
        except (PeerError, ValueError, TypeError, AttributeError) as error:
            self._log.warn(
                "failed to get hash KV from peer",
                remote_peer_id=hex_id(member_id),
                requested_revision=revision,
                error=error,
            )
            return None


def _contradiction(theirs: PeerHash, first: Hashed, again: Hashed, newest: int) -> str | None:
    """What another member cannot have told if its data were ours; None: nothing."""
    if theirs.newest > newest:
        return "revision from follower must be less than or equal to leader's"
    if theirs.compact_revision > again.compact_revision:
        return "compact revision from follower must be less than or equal to leader's"
    if theirs.compact_revision == first.compact_revision and theirs.value != first.value:
        return "same compact revision then hashes must match"
    return None


class CheckRound:
    """Runs a check every so often on the leader, one at a time."""

    def __init__(
        self, check: Callable[[], Awaitable[None]], leads: Callable[[], bool], log: Logger
    ) -> None:
        self._check = check
        self._leads = leads
        self._log = log
        self._task: asyncio.Task[None] | None = None

    def round(self) -> None:
        """It is time for the next check."""
        if self._leads() and (self._task is None or self._task.done()):
            self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._check()
        except WireError as error:
            self._log.warn("failed to check hash KV", error=error)


__all__ = [
    "CheckRound",
    "CorruptionChecker",
    "InconsistentError",
    "PeerHash",
]
