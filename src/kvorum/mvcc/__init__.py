"""The multi-version store of keys, etcd's requests on it, and the watchers of its changes.

`store.Store` is the way in; `checks`, `requests` and `txn` are what clients ask for; `compaction`
and `hashing` are the long jobs, done in steps; `watch` tells of changes.
"""
