"""Takes a stopped member's directory to another version, or to and from stock etcd's format.

    migrate(…, target_version=V)      the row `storageVersion`, as stock's `etcdutl migrate` does
    migrate(…, format="kvorum")       adopts a directory of stock etcd (`kvorum.server.adoption`)
    migrate(…, format="stock")        gives one of ours back (`kvorum.ops.give_back`)

A bbolt file is never changed in place: it is written anew beside and renamed. So a crash leaves the
old file or the new one.

Source: etcd etcdutl/migrate_command.go, server/storage/schema; shared facts, flags.md section 8 and
disk.md section 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from kvorum.errors import ConfigError
from kvorum.ops.bolt_file import take_place, write_beside
from kvorum.ops.give_back import give_back
from kvorum.ops.log_version import V3_5, V3_6, oldest_reader
from kvorum.ops.stopped import StoppedMember
from kvorum.proto.versions import Version, parse_version
from kvorum.server.adoption import AdoptionOptions, adopt, remove_work_files, storage_version
from kvorum.server.log import Logger
from kvorum.server.stored_state import newest_snapshot
from kvorum.storage import Backend
from kvorum.storage.buckets import META, STORAGE_VERSION
from kvorum.storage.files import Progress
from kvorum.wal import SnapshotFiles, WalSnapshot, read_wal

Format = Literal["kvorum", "stock"]
NEWEST: Final = V3_6
LOCK_WAIT_S: Final = 1.0


def parse_target_version(text: str, *, lowest: Version = V3_5) -> Version:
    """The version in `--target-version`.

    Args:
        text: `X.Y`.
        lowest: the oldest that is taken: 3.5 for stock's migration, 3.4 for giving back.

    Raises:
        ConfigError: in stock's words.
    """
    if text.count(".") != 1:
        raise ConfigError(f'wrong target version format, expected "X.Y", got "{text}"')
    try:
        version = parse_version(text)
    except ConfigError as error:
        raise ConfigError(f"failed to parse target version: {error}") from None
    if version < lowest:
        raise ConfigError(
            f'target version "{version.short}" not supported. Minimal "{lowest.short}"'
        )
    return version


def migrate(
    data_dir: Path,
    *,
    log: Logger,
    target_version: Version | None = None,
    force: bool = False,
    format: Format | None = None,
    wal_dir: Path | None = None,
    skip_v2_check: bool = False,
    progress: Progress | None = None,
) -> None:
    """See the module.

    Args:
        data_dir: of a member that does not run.
        log: what is done is told here.
        target_version: needed without `format`; for "stock" the version of etcd that is going to
            run, and the cluster's version when None.
        force: go on where the log or the cluster's version speak against it.
        format: whose format the directory is to have; None: it keeps the one it has.
        wal_dir: of the log where it is not in `data_dir`.
        skip_v2_check: for "kvorum": adopt in spite of version-2 data, which goes into a file.
        progress: told of the bytes copied.

    Raises:
        ConfigError: the member runs, or this migration cannot be done; nothing was changed.
        CorruptionError: something in the directory is damaged.
    """
    wal_dir = wal_dir or data_dir / "member" / "wal"
    if format == "kvorum":
        _adopt(data_dir, wal_dir, skip_v2_check, log, progress)
        if target_version is None:
            return
    elif format == "stock" and _kind(data_dir) == "lmdb":
        give_back(data_dir, wal_dir, target_version, force=force, log=log, progress=progress)
        return
    if target_version is None:
        if format is None:
            raise ConfigError('required flag(s) "target-version" not set')
        log.info("the data directory has stock etcd's format already", path=str(data_dir))
        return
    _migrate_version(data_dir, wal_dir, target_version, force, log, progress)


def _kind(data_dir: Path) -> str:
    with StoppedMember(data_dir) as member, member.open_database() as file:
        return file.kind


def _adopt(
    data_dir: Path, wal_dir: Path, skip_v2_check: bool, log: Logger, progress: Progress | None
) -> None:
    options = AdoptionOptions(
        data_dir=data_dir, wal_dir=wal_dir, skip_v2_check=skip_v2_check, lock_wait_s=LOCK_WAIT_S
    )
    # Without a database there may still be one that a leader has sent.
    if options.database.exists() and _kind(data_dir) == "lmdb":
        log.info("the data directory has Kvorum's format already", path=str(data_dir))
        return
    lock = adopt(options, log, progress=progress)
    if lock is not None:
        lock.release()
    elif not options.database.exists():
        StoppedMember(data_dir)  # says what is missing


def _migrate_version(
    data_dir: Path,
    wal_dir: Path,
    target: Version,
    force: bool,
    log: Logger,
    progress: Progress | None,
) -> None:
    value = None if target < V3_6 else str(target).encode()
    with StoppedMember(data_dir) as member, member.open_database() as file:
        found = storage_version(file.get)
        if found == "3.4":
            log.error(
                "failed to detect storage version. Please make sure you are using data dir "
                "from etcd v3.5 and older"
            )
            raise ConfigError("cannot detect storage schema version: missing term information")
        current = parse_version(found)
        if current.cluster == target:
            log.info("storage version up-to-date", storage_version=current.short)
            return
        try:
            _check(data_dir, wal_dir, current, target)
        except ConfigError as error:
            if not force:
                raise
            log.info("normal migrate failed, trying with force", error=str(error))
            _tell_forced(target, log)
        if file.kind == "bbolt":
            rows = {key: row for part in file.rows(META.name) for key, row in part}
            rows.pop(STORAGE_VERSION, None)
            if value is not None:
                rows[STORAGE_VERSION] = value
            remove_work_files(member.snap_dir)
            take_place(write_beside(file, {META: sorted(rows.items())}, progress), member.database)
        kind = file.kind
    if kind == "lmdb":
        _write_row(member.database, value)
    log.info("updated storage version", new_storage_version=str(target))


def _check(data_dir: Path, wal_dir: Path, current: Version, target: Version) -> None:
    """Whether stock's plan of steps from version to version exists, and the log allows it."""
    if current.major != target.major:
        raise ConfigError(
            "cannot create migration plan: changing major storage version is not supported"
        )
    if target > NEWEST or current.cluster > NEWEST:
        beyond = max(target, current.cluster)
        raise ConfigError(f'cannot create migration plan: version "{beyond}" is not supported')
    if target > current:
        return
    snapshot = newest_snapshot(wal_dir, SnapshotFiles(data_dir / "member" / "snap"))
    start = WalSnapshot()
    if snapshot is not None:
        start = WalSnapshot(snapshot.metadata.index, snapshot.metadata.term)
    needed = oldest_reader(read_wal(wal_dir, start).entries, of_values=False)
    if target < needed:
        raise ConfigError(
            "cannot downgrade storage, WAL contains newer entries, as the target version"
            f" ({target}) is lower than the version ({needed}) detected from WAL logs"
        )


def _tell_forced(target: Version, log: Logger) -> None:
    if target < V3_6:
        log.warn("forcefully cleared storage version")
    else:
        log.warn("forcefully set storage version", storage_version=target.short)


def _write_row(database: Path, value: bytes | None) -> None:
    with Backend.open(database, lock_wait_s=LOCK_WAIT_S) as backend:
        if value is None:
            backend.delete(META, STORAGE_VERSION)
        else:
            backend.put(META, STORAGE_VERSION, value)
