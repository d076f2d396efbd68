"""The file format of stock etcd's database (bbolt): a reader that trusts nothing, a bulk writer.

`format` has the bytes, `pages` reads page runs, `tree` walks the pages of a bucket, `file` is the
reader for others, `check` looks for every problem, `layout` writes.
"""

from kvorum.storage.bbolt.file import BoltFile, is_bolt
from kvorum.storage.bbolt.layout import BoltLayout

__all__ = ["BoltFile", "BoltLayout", "is_bolt"]
