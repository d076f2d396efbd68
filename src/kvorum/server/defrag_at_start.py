"""`--bootstrap-defrag-threshold-megabytes`: defragmentation before a member serves anybody.

Source: etcd server (maybeDefragBackend): its rule and its text; 0 switches it off.
"""

from __future__ import annotations

import contextlib
from typing import Final

from kvorum.gotext import format_size
from kvorum.server.log import Logger
from kvorum.storage import Backend
from kvorum.storage.bulk import copy_database
from kvorum.storage.lmdb_file import LmdbFile

_COPY: Final = "db.tmp.start"


def defragment_at_start(backend: Backend, threshold_bytes: int, log: Logger) -> None:
    """Write the database anew if so many bytes of it are free.

    A disk that has no room for the copy is told in the log, and the member starts without.

    Raises:
        CorruptionError: the database is damaged.
    """
    if threshold_bytes == 0:
        return
    before, in_use = backend.size(), backend.size_in_use()
    sizes = {
        "current_db_size_bytes": before,
        "current_db_size": format_size(before),
        "current_db_size_in_use_bytes": in_use,
        "current_db_size_in_use": format_size(in_use),
        "experimental_bootstrap_defrag_threshold_bytes": threshold_bytes,
    }
    if before - in_use < threshold_bytes:
        log.info("Skipping defragmentation", **sizes)
        return
    log.info("defragmenting", path=str(backend.path), **sizes)
    copy = backend.path.with_name(_COPY)
    try:
        # Nobody writes yet, so the file can be read as it is.
        with LmdbFile.open(backend.path) as source:
            copy_database(source, copy)
    except OSError as error:
        log.error("failed to defragment", path=str(backend.path), error=error)
        with contextlib.suppress(FileNotFoundError):
            copy.unlink()
        return
    backend.replace(copy)
    log.info(
        "finished defragmenting directory",
        path=str(backend.path),
        current_db_size_bytes_diff=backend.size() - before,
        current_db_size_bytes=backend.size(),
        current_db_size=format_size(backend.size()),
    )
