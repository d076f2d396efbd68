"""`snapshot restore`: a new data directory of one member of a new cluster, from a backup.

Everything is built in a directory beside the final one (`<data-dir>.restoring-<pid>`) and gets its
name when it is whole and on the disk. So what has the name can be started from; what fails, or is
interrupted, removes what it built; a kill leaves at most directories with that telling name.

Source: etcdutl 3.5.1 (texts, order of checks, log lines); shared facts, disk.md section 9;
`--bump-revision` and `--mark-compacted`: etcd pull request 16029.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvorum.cluster.bootstrap import Bootstrap, bootstrap
from kvorum.cluster.founding import Resolve, check_advertised, check_distinct, check_named
from kvorum.cluster.ids import hex_id
from kvorum.cluster.urls import parse_initial_cluster, parse_urls
from kvorum.errors import ConfigError, CorruptionError
from kvorum.ops.identity import NewIdentity
from kvorum.ops.inputs import HASH_BYTES, check_readable, has_hash, open_input
from kvorum.ops.newmember import write_log, write_snapshot
from kvorum.ops.sha import FileSum
from kvorum.ops.staging import Staging
from kvorum.server.log import Logger
from kvorum.server.resolving import resolve
from kvorum.storage.bulk import copy_database
from kvorum.storage.files import DatabaseFile, Progress
from kvorum.wal.segments import SEGMENT_BYTES

ROOM_FACTOR: Final = 1.25
"""A database of ours beside the file that it is made from: pages are filled differently."""
SPARE_BYTES: Final = 16 << 20
_MIB: Final = 1 << 20

NO_HASH: Final = "snapshot missing hash but --skip-hash-check=false"
BUMP_WITHOUT_MARK: Final = "--mark-compacted required if --revision-bump > 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """The flags of `snapshot restore`, with stock's defaults."""

    snapshot: Path
    data_dir: Path
    wal_dir: Path | None = None
    """None: `member/wal` in the data directory."""
    name: str = "default"
    initial_cluster: str = "default=http://localhost:2380"
    initial_cluster_token: str = "etcd-cluster"
    initial_advertise_peer_urls: str = "http://localhost:2380"
    skip_hash_check: bool = False
    bump_revision: int = 0
    """How far the newest revision is raised."""
    mark_compacted: bool = False
    """All history up to the (raised) newest revision counts as compacted, so that watchers that
    saw a later one than the backup has are told to begin anew."""


def restore(
    options: RestoreOptions,
    log: Logger,
    progress: Progress | None = None,
    *,
    resolve: Resolve = resolve,
) -> None:
    """Restore; see the module.

    Raises:
        ConfigError: the flags do not fit each other, the backup, or what is on the disk.
        CorruptionError: the backup is damaged.
        OSError: it cannot be written; what was written has been removed.
    """
    founded = _founded(options, resolve)
    if options.mark_compacted != (options.bump_revision > 0):
        raise ConfigError(
            f"{BUMP_WITHOUT_MARK}: give both, with a number that no client can have seen beyond"
            " the backup's revision, or none"
        )
    staging = Staging(options.data_dir, options.wal_dir)
    staging.check()
    places = {
        "path": options.snapshot,
        "wal_dir": staging.wal_dir,
        "data_dir": options.data_dir,
        "snap_dir": options.data_dir / "member" / "snap",
    }
    log.info("restoring snapshot", **places)
    check_readable(options.snapshot, act="read")
    with open_input(options.snapshot) as source:
        _check_origin(source, options)
        _check_room(source, staging)
        with staging:
            _build(source, options, founded, staging, log, progress)
            staging.commit()
    log.info("restored snapshot", **places)


def _founded(options: RestoreOptions, resolve: Resolve) -> Bootstrap:
    """The new cluster; checks in stock's order."""
    advertised = parse_urls(options.initial_advertise_peer_urls)
    named = parse_initial_cluster(options.initial_cluster)
    check_named(named, options.name)
    check_advertised(named, options.name, advertised, resolve)
    check_distinct(named)
    return bootstrap(named, options.initial_cluster_token)


def _check_origin(source: DatabaseFile, options: RestoreOptions) -> None:
    """Refuse a file that nothing says is whole, unless the user vouches for it."""
    if source.kind == "lmdb":
        # Ours never has a hash behind it; it can be checked as it is.
        problems = source.check()
        if problems:
            raise CorruptionError(
                source.path, None, "; ".join(problems), "take another copy or another backup"
            )
    elif not options.skip_hash_check and not has_hash(source.path):
        raise ConfigError(
            f"{NO_HASH}: {source.path} has no SHA-256 behind the database, so it was cut off, or"
            " copied from a data directory; if it was copied from a stopped member, add"
            " --skip-hash-check"
        )


def _check_room(source: DatabaseFile, staging: Staging) -> None:
    """Refuse before anything is written, rather than with a full disk for the neighbours."""
    wanted = {staging.data_place(): int(source.size_bytes * ROOM_FACTOR) + SPARE_BYTES}
    log_place = staging.wal_place()
    # Beside the first segment of the log the next one is made ready.
    wanted[log_place] = wanted.get(log_place, 0) + 2 * SEGMENT_BYTES
    by_device: dict[int, tuple[Path, int]] = {}
    for place, size in wanted.items():
        device = os.stat(place).st_dev
        known = by_device.get(device, (place, 0))
        by_device[device] = (known[0], known[1] + size)
    for place, size in by_device.values():
        found = os.statvfs(place)
        free = found.f_bavail * found.f_frsize
        if free < size:
            raise ConfigError(
                f"not enough room on the disk of {place}: restoring {source.path} needs"
                f" {size // _MIB} MiB there and {free // _MIB} MiB are free; make room, or choose"
                " another --data-dir"
            )


def _build(
    source: DatabaseFile,
    options: RestoreOptions,
    founded: Bootstrap,
    staging: Staging,
    log: Logger,
    progress: Progress | None,
) -> None:
    snap_dir, wal_dir = staging.make()
    is_hashed = source.kind == "bbolt" and not options.skip_hash_check
    with FileSum(source.path, skip_last=HASH_BYTES if is_hashed else None) as total:
        try:
            identity = NewIdentity(source, founded, options.bump_revision)
            if options.bump_revision:
                log.info(
                    "bumping latest revision",
                    latest_revision=identity.revision - options.bump_revision,
                    bump_amount=options.bump_revision,
                    new_latest_revision=identity.revision,
                )
                log.info("marking revision compacted", revision=identity.revision)
            log.info("Trimming membership information from the backend...")
            copy_database(identity, snap_dir / "db", progress=progress)
        except CorruptionError:
            # A wrong hash tells more than the first page that looks wrong.
            total.check()
            raise
        total.check()
    for member in founded.members:
        log.info(
            "added member",
            cluster_id=hex_id(founded.cluster_id),
            local_member_id="0",
            added_peer_id=hex_id(member.id),
            added_peer_peer_urls=list(member.peer_urls),
        )
    snapshot = write_snapshot(snap_dir, founded)
    write_log(wal_dir, founded, founded.member_named(options.name), snapshot)
