"""Applies requests of the log to the store, the leases and the membership.

Every member applies the same entries in the same order and must come to the same state, so nothing
here looks at a clock or at anything that is not in the log. Apply is total: whatever can stand in
the log has an answer. A refusal (`RequestError`) is an answer: nothing was changed.

A method takes the parsed request and returns the encoded response, header included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvorum.cluster.ids import hex_id
from kvorum.cluster.members import Cluster
from kvorum.errors import (
    ConfigError,
    CorruptClusterError,
    DecodeError,
    LeaseNotFoundError,
    NoSpaceError,
)
from kvorum.lease import Lessor
from kvorum.mvcc import requests
from kvorum.mvcc import txn as transactions
from kvorum.mvcc.store import Store
from kvorum.proto.etcdserver_pb2 import Request as V2Request
from kvorum.proto.membership_pb2 import (
    ClusterMemberAttrSetRequest,
    ClusterVersionSetRequest,
    DowngradeInfoSetRequest,
)
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.rpc_pb2 import (
    CORRUPT,
    NOSPACE,
    AlarmRequest,
    AlarmResponse,
    AlarmType,
    CompactionRequest,
    DeleteRangeRequest,
    LeaseCheckpointRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseRevokeRequest,
    PutRequest,
    TxnRequest,
)
from kvorum.proto.versions import Version, parse_version
from kvorum.server import entries, v2requests
from kvorum.server.alarms import Alarm, Alarms, alarm_member
from kvorum.server.header import Headers
from kvorum.server.log import Logger
from kvorum.server.quota import txn_cost

ApplyMethod = Callable[[Any], bytes]

APPLIED_FIELDS = (
    "put",
    "delete_range",
    "txn",
    "compaction",
    "lease_grant",
    "lease_revoke",
    "alarm",
    "lease_checkpoint",
    "cluster_version_set",
    "cluster_member_attr_set",
    "downgrade_info_set",
)
"""The requests that are known here: fields of InternalRaftRequest, and methods of `Applier`."""


class Applier:
    """See the module.

    Args:
        store, lessor, cluster, alarms: what is changed.
        headers: for responses.
        version_changed: called with the cluster version before and the new one.
        compaction_started: called when there is a compaction to go on with.
        note_growth: called when the database may have grown.
        log: membership and version changes are told.
    """

    def __init__(
        self,
        store: Store,
        lessor: Lessor,
        cluster: Cluster,
        alarms: Alarms,
        headers: Headers,
        *,
        version_changed: Callable[[Version | None, Version], None],
        compaction_started: Callable[[], None],
        note_growth: Callable[..., None],
        log: Logger,
    ) -> None:
        self._store = store
        self._lessor = lessor
        self._cluster = cluster
        self._alarms = alarms
        self._headers = headers
        self._version_changed = version_changed
        self._compaction_started = compaction_started
        self._note_growth = note_growth
        self._log = log
        self._by_field: Mapping[str, ApplyMethod] = {
            name: getattr(self, name) for name in APPLIED_FIELDS
        }
        self._by_tag: Mapping[bytes, ApplyMethod] = {
            entries.ALARM: self.alarm,
            entries.COMPACTION: self.compaction,
            entries.LEASE_REVOKE: self.lease_revoke,
            entries.LEASE_CHECKPOINT: self.lease_checkpoint,
            entries.CLUSTER_VERSION_SET: self.cluster_version_set,
            entries.CLUSTER_MEMBER_ATTR_SET: self.cluster_member_attr_set,
            entries.DOWNGRADE_INFO_SET: self.downgrade_info_set,
        }

    def method(self, request: InternalRaftRequest | V2Request) -> tuple[ApplyMethod, Any]:
        """The method for a decoded entry, and its argument.

        Raises:
            DecodeError: this version of Kvorum does not know the request.
        """
        if isinstance(request, V2Request):
            return self.v2_request, request
        if request.HasField("v2"):
            return self.v2_request, request.v2
        for field, value in request.ListFields():
            found = self._by_field.get(field.name)
            if found is not None:
                return found, value
        names = [field.name for field, _ in request.ListFields()]
        raise DecodeError(f"an entry of the log asks for {names}, which is not known here")

    def own_method(self, tag: bytes) -> ApplyMethod:
        """The method for a request that the member itself proposes."""
        return self._by_tag[tag]

    # Keys.

    def put(self, request: PutRequest) -> bytes:
        self._check_alarms(grows=True)
        body = requests.apply_put(self._store, request)
        self._note_growth()
        return self._headers.at(self._store.revision) + body

    def delete_range(self, request: DeleteRangeRequest) -> bytes:
        self._check_alarms(grows=False)
        body = requests.apply_delete_range(self._store, request)
        return self._headers.at(self._store.revision) + body

    def txn(self, request: TxnRequest) -> bytes:
        self._check_alarms(grows=self._alarms.no_space and txn_cost(request) > 0)
        body = transactions.apply_txn(self._store, request)
        self._note_growth(request)
        return self._headers.at(self._store.revision) + body

    def read_txn(self, request: TxnRequest) -> bytes:
        """A transaction that only reads. It does not come from the log, so no alarm forbids it."""
        body = transactions.apply_txn(self._store, request)
        return self._headers.at(self._store.revision) + body

    def compaction(
        self, request: CompactionRequest, on_done: Callable[[], None] | None = None
    ) -> bytes:
        self._check_alarms(grows=False)
        compaction = requests.apply_compaction(self._store, request)
        compaction.on_done = on_done
        self._log.info("compact tree index", revision=request.revision)
        self._compaction_started()
        return self._headers.at(self._store.revision)

    # Leases.

    def lease_grant(self, request: LeaseGrantRequest) -> bytes:
        self._check_alarms(grows=True)
        lease = self._lessor.grant(request.ID, request.TTL)
        self._note_growth()
        response = LeaseGrantResponse(ID=lease.id, TTL=lease.ttl)
        return self._headers.at(self._store.revision) + response.SerializeToString()

    def lease_revoke(self, request: LeaseRevokeRequest) -> bytes:
        self._check_alarms(grows=False)
        self._lessor.revoke(request.ID)
        return self._headers.at(self._store.revision)

    def lease_checkpoint(self, request: LeaseCheckpointRequest) -> bytes:
        for checkpoint in request.checkpoints:
            try:
                self._lessor.checkpoint(checkpoint.ID, checkpoint.remaining_TTL)
            except LeaseNotFoundError:
                continue  # revoked since the checkpoint was proposed
        return self._headers.at(self._store.revision)

    # Alarms.

    def _check_alarms(self, *, grows: bool) -> None:
        """Refuse what an alarm forbids. `grows`: the request could make the database larger.

        Raises:
            NoSpaceError, CorruptClusterError
        """
        if self._alarms.corrupt:
            raise CorruptClusterError
        if grows and self._alarms.no_space:
            raise NoSpaceError

    def alarm(self, request: AlarmRequest) -> bytes:
        alarm = (request.memberID, request.alarm)
        found: list[Alarm] = []
        if request.action == AlarmRequest.GET:
            found = self._alarms.active(request.alarm)
        elif request.action == AlarmRequest.ACTIVATE:
            if request.alarm in {NOSPACE, CORRUPT}:
                self._alarms.activate(alarm)
                found = [alarm]
                self._tell_alarm("alarm raised", alarm)
        elif self._alarms.deactivate(alarm):
            found = [alarm]
            self._tell_alarm("alarm disarmed", alarm)
        response = AlarmResponse(alarms=map(alarm_member, found))
        return self._headers.at(self._store.revision) + response.SerializeToString()

    def _tell_alarm(self, message: str, alarm: Alarm) -> None:
        member_id, kind = alarm
        self._log.warn(message, alarm=AlarmType.Name(kind), from_=hex_id(member_id))

    # Membership.

    def cluster_version_set(self, request: ClusterVersionSetRequest) -> bytes:
        self._set_version(parse_version(request.ver))
        return self._headers.at(self._store.revision)

    def cluster_member_attr_set(self, request: ClusterMemberAttrSetRequest) -> bytes:
        attributes = request.member_attributes
        self._cluster.set_attributes(request.member_ID, attributes.name, attributes.client_urls)
        return self._headers.at(self._store.revision)

    def downgrade_info_set(self, request: DowngradeInfoSetRequest) -> bytes:
        target: Version | None = None
        try:
            target = parse_version(request.ver) if request.enabled else None
        except ConfigError as error:
            # No member proposes this; stock would end with it.
            self._log.error("no downgrade: its target cannot be read", error=error)
        self._cluster.set_downgrade_target(target)
        if target is not None:
            self._log.info("The server is ready to downgrade", target_version=str(target))
        return self._headers.at(self._store.revision)

    def v2_request(self, request: V2Request) -> bytes:
        """What members up to 3.5 write of themselves; keys of the v2 API are not kept."""
        change = v2requests.read(request)
        if isinstance(change, Version):
            self._set_version(change)
        elif change is not None:
            self._cluster.set_attributes(change.member_id, change.name, change.client_urls)
        return self._headers.at(self._store.revision)

    def _set_version(self, version: Version) -> None:
        old, target = self._cluster.version, self._cluster.downgrade_target
        self._cluster.set_version(version)
        if old is None:
            self._log.info("set initial cluster version", cluster_version=version.short)
        elif old != version:
            self._log.info("updated cluster version", from_=old.short, to=version.short)
        if target is not None and self._cluster.downgrade_target is None:
            self._log.info("the cluster has been downgraded", cluster_version=str(version))
        self._log.info("enabled capabilities for version", cluster_version=version.short)
        self._version_changed(old, version)
