"""Writes rows until it is killed; says on its standard output what is durable.

Row n is at revision n; the consistent index n covers the rows up to n. Run as a program:
`python -m tests.unit.storage.writer PATH`.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from kvorum.storage import Backend
from kvorum.storage.buckets import CONSISTENT_INDEX, KEY, META, decode_u64, encode_u64, revision_key

ROWS_A_COMMIT = 400
DELETE_BEHIND = 150


def value_of(n: int) -> bytes:
    return b"%d" % n * (n % 300)


def main(path: Path) -> None:
    with Backend.open(path, batch_interval_s=0.002, batch_limit=50, map_bytes=1 << 18) as backend:
        stored = backend.get(META, CONSISTENT_INDEX)
        done = decode_u64(stored) if stored else 0

        def put_index(one: Backend) -> None:
            one.put(META, CONSISTENT_INDEX, encode_u64(done))

        backend.before_commit = put_index
        print("ready", flush=True)
        for n in itertools.count(done + 1):
            backend.put(KEY, revision_key(n, 0), value_of(n))
            if n > DELETE_BEHIND and n % 3 == 0:
                backend.delete(KEY, revision_key(n - DELETE_BEHIND, 0))
            done = n
            backend.maybe_commit_nowait()
            if n % ROWS_A_COMMIT == 0:
                backend.commit()
                print(n, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
