"""etcdutl: works on data files while no member does. Outputs and texts are stock's.

`snapshot status` and `snapshot restore` are compared with stock etcdutl 3.5.1, run by run
(tests/interop/test_etcdutl_equal.py); `hashkv` and `migrate` print what 3.6's do. Files may be of
ours or of stock etcd. What differs on purpose:

- help and usage are worded differently; log lines name a place in our source, and no Go stack
- errors say what to do, after stock's words
- `defrag` of what is no data directory is an error with exit code 1 (3.5.1 panics, with 2)
- `migrate --format`, `verify` and `inspect` are ours
- `backup` (of version-2 data) is not there, as in 3.6
- `--initial-memory-map-size` of 3.6 is not there: nothing here is mapped by a size of one's choice
"""

from kvorum.cli.etcdutl.program import main

__all__ = ["main"]
