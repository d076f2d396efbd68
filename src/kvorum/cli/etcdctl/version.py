"""The versions that `etcdctl version` prints: those of the etcd that Kvorum presents itself as."""

from kvorum.proto.versions import DEFAULT_SERVER_VERSION

VERSION = str(DEFAULT_SERVER_VERSION)
API_VERSION = DEFAULT_SERVER_VERSION.short
