"""The oldest etcd that can read the entries of a log.

Source: etcd server/storage/wal/version.go and the version annotations of its protocol files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kvorum.errors import ConfigError
from kvorum.proto.etcdserver_pb2 import Request as V2Request
from kvorum.proto.raft_internal_pb2 import InternalRaftRequest
from kvorum.proto.raftpb import Entry, EntryType
from kvorum.proto.versions import Version, parse_version
from kvorum.server import entries

V3_0: Final = Version(3, 0)
V3_4: Final = Version(3, 4)
V3_5: Final = Version(3, 5)
V3_6: Final = Version(3, 6)

_SINCE: Final = {
    "auth_status": V3_5,
    "cluster_version_set": V3_5,
    "cluster_member_attr_set": V3_5,
    "downgrade_info_set": V3_5,
    "downgrade_version_test": V3_6,
}


def oldest_reader(log_entries: Iterable[Entry], *, of_values: bool) -> Version:
    """The oldest etcd that can apply all of `log_entries`.

    Args:
        log_entries: what is to be applied.
        of_values: count the version that an entry raises the cluster to as well: an older etcd
            can read such an entry, and refuses to run from then on.

    Raises:
        DecodeError: an entry cannot be read.
    """
    return max((_oldest_reader(entry, of_values) for entry in log_entries), default=V3_0)


def _oldest_reader(entry: Entry, of_values: bool) -> Version:
    if entry.type == EntryType.CONF_CHANGE_V2:
        return V3_4
    if entry.type != EntryType.NORMAL or not entry.data:
        return V3_0
    request = entries.decode(entry.data)
    if isinstance(request, V2Request):
        return V3_0
    needed = [_SINCE.get(field.name, V3_0) for field, _ in request.ListFields()]
    if of_values:
        needed.append(_version_set(request))
    return max(needed, default=V3_0)


def _version_set(request: InternalRaftRequest) -> Version:
    for name in ("cluster_version_set", "downgrade_version_test"):
        if request.HasField(name):
            try:
                return parse_version(getattr(request, name).ver)
            except ConfigError:
                continue  # which is refused when it is applied
    return V3_0
