"""What a member does for its cluster beside replicating: the parts, and when they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from kvorum.errors import StoppedError
from kvorum.proto.rpc_pb2 import CORRUPT, AlarmRequest
from kvorum.server import entries
from kvorum.server.announcing import Announcer
from kvorum.server.connectivity import Connectivity
from kvorum.server.corruption import CheckRound, CorruptionChecker
from kvorum.server.downgrading import Downgrading
from kvorum.server.key_hashes import hash_keys
from kvorum.server.leader_calls import LeaderCalls
from kvorum.server.leadership import Leadership
from kvorum.server.reconfiguration import Reconfiguration

if TYPE_CHECKING:
    from kvorum.server.member import EtcdServer

Every = Callable[[float, Callable[[], object]], None]
"""Does something every so many seconds, until the member stops."""


class ClusterWork:
    """See the module. Made when the server has its ways to the other members."""

    def __init__(self, server: EtcdServer) -> None:
        options, cluster, log = server.options, server.cluster, server.log
        self._options = options
        self._loop = asyncio.get_running_loop()
        cluster.learners_max = options.max_learners
        server.store.compaction_hashes.enabled = options.compact_hash_check

        def leads() -> bool:
            return server.is_leader

        self.announcer = Announcer(
            server.member_id,
            options,
            cluster,
            server.proposals,
            server.applier,
            leads=leads,
            queries=server.queries,
            log=log,
        )
        connectivity = Connectivity(server.member_id, server.transport.active_since)
        self.leadership = Leadership(
            server.member_id,
            options,
            cluster,
            connectivity,
            server,
            ended=server.failed.done,
            log=log,
        )
        self.reconfiguration = Reconfiguration(
            server.member_id,
            cluster,
            connectivity,
            server,
            strict=options.strict_reconfig_check,
            version=options.version,
            timeout_s=options.request_timeout_s,
            log=log,
        )
        self.leader_calls = LeaderCalls(
            cluster,
            server.queries,
            leader_id=server.leader_id,
            stopping=server.stopping,
            election_timeout_s=options.election_timeout_s,
            timeout_s=options.request_timeout_s,
        )
        self.downgrading = Downgrading(
            options.version,
            cluster,
            propose=server.propose_own,
            wait_linearizable=server.reads.wait_linearizable,
            leads=leads,
            member_versions=self.announcer.member_versions,
            log=log,
        )
        self.corruption = CorruptionChecker(
            server.member_id,
            cluster,
            server.queries,
            server.store.compaction_hashes,
            hash_here=partial(hash_keys, server.store, server.counters),
            newest=lambda: server.store.revision,
            wait_linearizable=server.reads.wait_linearizable,
            raise_alarm=partial(raise_corrupt, server),
            log=log,
        )
        self._keys_round = CheckRound(self.corruption.check_now, leads, log)
        self._compactions_round = CheckRound(self.corruption.check_compactions, leads, log)

    def start(self, every: Every) -> None:
        """Begin what runs by the clock."""
        options = self._options
        every(options.election_timeout_s, self._look_for_leader)
        if options.downgrade_check_s:
            every(options.downgrade_check_s, self.downgrading.round)
        if options.corrupt_check_s:
            every(options.corrupt_check_s, self._keys_round.round)
        if options.compact_hash_check:
            every(options.compact_hash_check_s, self._compactions_round.round)

    def stop(self) -> None:
        self.announcer.stop()
        self.downgrading.stop()
        self._keys_round.stop()
        self._compactions_round.stop()
        self.reconfiguration.fail_all(StoppedError())
        self.leader_calls.stop()

    def _look_for_leader(self) -> None:
        self.leadership.count_leaderless()


async def raise_corrupt(server: EtcdServer, member_id: int) -> None:
    """Tell the cluster that a member's data is not that of the others."""
    request = AlarmRequest(action=AlarmRequest.ACTIVATE, memberID=member_id, alarm=CORRUPT)
    await server.propose_own(entries.ALARM, request)
