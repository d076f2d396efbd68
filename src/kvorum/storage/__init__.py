"""The database file: buckets of rows in LMDB, with batched commits.

`Backend` is the way in; `buckets` has the names of the tables and how their keys are written.
"""

from kvorum.storage.backend import Backend
from kvorum.storage.buckets import Bucket
from kvorum.storage.committer import CommitFailedError

__all__ = ["Backend", "Bucket", "CommitFailedError"]
