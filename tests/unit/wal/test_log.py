from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvorum.errors import ConfigError, CorruptionError
from kvorum.proto.raftpb import ConfState, Entry, HardState
from kvorum.wal import (
    Wal,
    WalFailedError,
    WalSnapshot,
    exists,
    read_wal,
    valid_snapshot_entries,
)
from kvorum.wal.pipeline import SegmentPipeline
from kvorum.wal.records import METADATA as METADATA_KIND
from kvorum.wal.segments import list_segments
from tests.unit.wal.logs import (
    METADATA,
    SEGMENT_BYTES,
    START,
    contents,
    create,
    entries,
    entry,
    frame_offsets,
    reopen,
)

SMALL = 2048


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "wal"


def fill_segments(directory: Path, count: int) -> None:
    """A closed log of `count` segments, a state after each batch, an entry a batch."""
    with create(directory, segment_bytes=SMALL) as wal:
        index = 0
        while len(list_segments(directory)) < count:
            index += 1
            wal.save(HardState(1, 1, index - 1), [entry(index, bytes(300))], must_sync=True)


def test_a_new_log_holds_its_metadata_and_nothing_else(directory: Path) -> None:
    create(directory).close()
    found = contents(directory)
    assert found.metadata == METADATA
    assert found.entries == []
    assert found.hard_state == HardState()
    assert found.last_index == 0
    assert found.repaired is None


def test_files_have_etcds_names_sizes_and_modes(directory: Path) -> None:
    with Wal.create(directory, METADATA):
        (segment,) = list_segments(directory)
        assert segment.path.name == "0000000000000000-0000000000000000.wal"
        assert segment.path.stat().st_size == 64_000_000
        assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not (directory.parent / "wal.tmp").exists()


def test_nothing_is_left_of_a_prepared_segment_after_close(directory: Path) -> None:
    create(directory).close()
    assert [path.suffix for path in directory.iterdir()] == [".wal"]


def test_a_log_is_found_by_its_segments(directory: Path) -> None:
    assert not exists(directory)
    directory.mkdir()
    assert not exists(directory)
    create(directory).close()
    assert exists(directory)


def test_a_log_is_not_made_where_something_is(directory: Path) -> None:
    create(directory).close()
    with pytest.raises(ConfigError, match="is not empty"):
        create(directory)


def test_what_a_crash_left_of_a_log_under_creation_is_replaced(directory: Path) -> None:
    leftover = directory.parent / "wal.tmp"
    leftover.mkdir()
    (leftover / "0000000000000000-0000000000000000.wal").write_bytes(b"half")
    create(directory).close()
    assert contents(directory).metadata == METADATA
    assert not leftover.exists()


def test_what_was_saved_is_read_again(directory: Path) -> None:
    saved = [*entries(1, 40), Entry(1, 1, 41, b"change"), Entry(0, 2, 42, None), entry(43, b"")]
    with create(directory) as wal:
        wal.save(HardState(1, 2, 3), saved[:10], must_sync=True)
        wal.save(None, saved[10:41], must_sync=True)
        wal.save(HardState(2, 7, 40), saved[41:], must_sync=True)
    found = contents(directory)
    assert found.entries == saved
    assert found.hard_state == HardState(2, 7, 40)
    assert found.last_index == 43


def test_an_empty_hard_state_is_not_written(directory: Path) -> None:
    with create(directory) as wal:
        wal.save(HardState(3, 4, 0), [], must_sync=True)
        wal.save(HardState(), entries(1, 1), must_sync=True)
        wal.save(HardState(), [], must_sync=False)
    assert contents(directory).hard_state == HardState(3, 4, 0)


def test_a_log_goes_on_after_it_was_opened(directory: Path) -> None:
    create(directory).close()
    for index in range(1, 6):
        wal, found = reopen(directory)
        assert found.last_index == index - 1
        wal.save(HardState(1, 1, index - 1), [entry(index)], must_sync=True)
        wal.close()
    assert contents(directory).entries == [entry(index) for index in range(1, 6)]


def test_reading_changes_nothing_and_works_while_the_log_is_open(directory: Path) -> None:
    with create(directory) as wal:
        wal.save(None, entries(1, 3), must_sync=True)
        before = {path: path.read_bytes() for path in directory.glob("*.wal")}
        assert read_wal(directory, START).entries == entries(1, 3)
        assert {path: path.read_bytes() for path in directory.glob("*.wal")} == before


def test_entries_written_again_replace_what_followed_them(directory: Path) -> None:
    """A new leader overwrites entries that were never committed."""
    with create(directory) as wal:
        wal.save(HardState(1, 1, 2), entries(1, 9), must_sync=True)
        wal.save(HardState(2, 1, 2), entries(4, 5, term=2), must_sync=True)
        wal.save(None, entries(6, 6, term=3), must_sync=True)
    found = contents(directory)
    assert found.entries == [
        *entries(1, 3),
        *entries(4, 5, term=2),
        *entries(6, 6, term=3),
    ]


def test_a_gap_between_entries_is_refused(directory: Path) -> None:
    with create(directory) as wal:
        wal.save(None, entries(1, 3), must_sync=True)
        wal.save(None, entries(5, 5), must_sync=True)
    with pytest.raises(CorruptionError, match=r"slice bounds out of range.*5 follows 3") as caught:
        contents(directory)
    assert caught.value.offset
    assert str(caught.value.path).endswith(".wal")


def test_a_commit_index_behind_the_end_of_the_log_is_refused(directory: Path) -> None:
    with create(directory) as wal:
        wal.save(HardState(1, 1, 5), entries(1, 4), must_sync=True)
    with pytest.raises(CorruptionError, match="ends at entry 4, but entries up to 5"):
        contents(directory)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 700), st.booleans()), min_size=1, max_size=12
    )
)
def test_any_sequence_of_saves_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, int, bool]]
) -> None:
    directory = tmp_path_factory.mktemp("any") / "wal"
    model: list[Entry] = []
    state = HardState()
    with create(directory, segment_bytes=SMALL) as wal:
        for term, (count, size, with_state) in enumerate(plan, 1):
            first = max(1, len(model) - term % 3) if count else 1
            batch = entries(first, first + count - 1, term=term, size=size)
            if with_state:
                state = HardState(term, 1, min(first - 1, state.commit + 1))
            wal.save(state if with_state else None, batch, must_sync=bool(batch))
            if batch:
                model[first - 1 :] = batch
    found = contents(directory)
    assert found.entries == model
    assert found.hard_state == state


# Segments.


def test_a_full_segment_is_followed_by_the_next(directory: Path) -> None:
    with create(directory, segment_bytes=SMALL) as wal:
        for index in range(1, 31):
            wal.save(HardState(4, 1, index - 1), [entry(index, bytes(200))], must_sync=True)
        segments = list_segments(directory)
    assert len(segments) > 3
    assert [segment.sequence for segment in segments] == list(range(len(segments)))
    assert contents(directory).entries == [entry(index, bytes(200)) for index in range(1, 31)]
    for segment in segments[1:]:
        assert segment.path.name == f"{segment.sequence:016x}-{segment.first_index:016x}.wal"
    for segment in segments[:-1]:
        assert segment.path.stat().st_size >= SMALL


def test_each_segment_can_be_read_without_those_before_it(directory: Path) -> None:
    with create(directory, segment_bytes=SMALL) as wal:
        for index in range(1, 31):
            wal.save(HardState(4, 1, index), [entry(index, bytes(200))], must_sync=True)
            if index == 20:
                wal.save_snapshot(WalSnapshot(20, 1))
    needed = [one for one in list_segments(directory) if one.first_index > 20]
    for segment in list_segments(directory)[: -len(needed) - 1]:
        segment.path.unlink()
    found = contents(directory, WalSnapshot(20, 1))
    assert found.metadata == METADATA
    assert [one.index for one in found.entries] == list(range(21, 31))
    assert found.hard_state == HardState(4, 1, 30)


def test_a_batch_larger_than_a_segment_is_kept_whole(directory: Path) -> None:
    batch = entries(1, 50, size=500)
    with create(directory, segment_bytes=SMALL) as wal:
        wal.save(HardState(1, 1, 0), batch, must_sync=True)
        wal.save(None, entries(51, 51), must_sync=True)
    assert contents(directory).entries == [*batch, *entries(51, 51)]


def test_a_crash_between_preparing_and_naming_a_segment_loses_nothing(directory: Path) -> None:
    with create(directory) as wal:
        wal.save(None, entries(1, 5), must_sync=True)
    (directory / "0.tmp").write_bytes(b"\1" * 3000)
    (directory / "1.tmp").write_bytes(b"\2" * 3000)
    wal, found = reopen(directory, segment_bytes=SMALL)
    assert found.entries == entries(1, 5)
    for index in range(6, 40):
        wal.save(None, [entry(index, bytes(300))], must_sync=True)
    wal.close()
    assert contents(directory).last_index == 39


def test_a_missing_segment_is_noticed(directory: Path) -> None:
    fill_segments(directory, 4)
    list_segments(directory)[2].path.unlink()
    with pytest.raises(CorruptionError, match="do not increase continuously"):
        contents(directory)
    with pytest.raises(CorruptionError, match="do not increase continuously"):
        valid_snapshot_entries(directory)


def test_a_log_without_its_first_segment_cannot_be_opened_from_the_start(directory: Path) -> None:
    fill_segments(directory, 3)
    list_segments(directory)[0].path.unlink()
    with pytest.raises(CorruptionError, match="wal: file not found which matches"):
        contents(directory)


@pytest.mark.parametrize("read", [contents, valid_snapshot_entries])
def test_a_directory_without_segments_is_no_log(directory: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(CorruptionError, match="wal: file not found"):
        read(directory)


def test_a_segment_cut_short_at_a_record_in_the_middle_of_the_log_is_noticed(
    directory: Path,
) -> None:
    """The next segment begins with the checksum of everything before it."""
    fill_segments(directory, 3)
    path = list_segments(directory)[1].path
    os.truncate(path, frame_offsets(path)[-3])
    with pytest.raises(CorruptionError, match="wal: crc mismatch"):
        contents(directory)


def test_segments_of_another_log_are_refused(tmp_path: Path) -> None:
    for name, metadata in (("a", b"\x08\x01\x10\x01"), ("b", b"\x08\x02\x10\x01")):
        with Wal.create(tmp_path / name, metadata, segment_bytes=SMALL, fsync=False) as wal:
            for index in range(1, 12):
                wal.save(None, [entry(index, bytes(300))], must_sync=True)
    stolen = list_segments(tmp_path / "b")[1].path
    stolen.replace(tmp_path / "a" / stolen.name)
    with pytest.raises(CorruptionError, match="wal: crc mismatch"):
        contents(tmp_path / "a")


def test_conflicting_metadata_is_refused(directory: Path) -> None:
    wal = create(directory)
    wal._append(wal._encoder.record(METADATA_KIND, b"\x08\x63"), sync=True)
    wal.close()
    with pytest.raises(CorruptionError, match="wal: conflicting metadata found"):
        contents(directory)


def test_a_record_of_an_unknown_type_is_refused(directory: Path) -> None:
    wal = create(directory)
    wal._append(wal._encoder.record(9, b"?"), sync=True)
    wal.close()
    with pytest.raises(CorruptionError, match="unexpected block type 9"):
        contents(directory)


# Snapshots.


def test_a_log_is_opened_from_a_snapshot(directory: Path) -> None:
    snapshot = WalSnapshot(5, 1, ConfState([1, 2], [3]))
    with create(directory) as wal:
        wal.save(HardState(1, 1, 6), entries(1, 8), must_sync=True)
        wal.save_snapshot(snapshot)
    found = contents(directory, snapshot)
    assert found.start == snapshot
    assert found.entries == entries(6, 8)
    assert valid_snapshot_entries(directory) == [START, snapshot]


def test_entries_may_all_lie_before_the_snapshot(directory: Path) -> None:
    """A member that was sent a snapshot has a log that ends before it."""
    with create(directory) as wal:
        wal.save(HardState(1, 1, 3), entries(1, 3), must_sync=True)
        wal.save_snapshot(WalSnapshot(100, 2))
        wal.save(HardState(2, 1, 100), [], must_sync=True)
    found = contents(directory, WalSnapshot(100, 2))
    assert found.entries == []
    assert found.last_index == 100


def test_a_snapshot_that_the_log_does_not_know_is_refused(directory: Path) -> None:
    with create(directory) as wal:
        wal.save(HardState(1, 1, 5), entries(1, 8), must_sync=True)
        wal.save_snapshot(WalSnapshot(5, 1))
    with pytest.raises(CorruptionError, match="wal: snapshot not found"):
        contents(directory, WalSnapshot(6, 1))
    with pytest.raises(CorruptionError, match="wal: snapshot mismatch"):
        contents(directory, WalSnapshot(5, 2))


def test_snapshots_above_the_commit_index_are_not_valid(directory: Path) -> None:
    with create(directory) as wal:
        wal.save(HardState(1, 1, 4), entries(1, 8), must_sync=True)
        for index in (3, 4, 5):
            wal.save_snapshot(WalSnapshot(index, 1))
    assert [one.index for one in valid_snapshot_entries(directory)] == [0, 3, 4]


def test_only_the_segments_that_matter_are_read_for_valid_snapshots(directory: Path) -> None:
    with create(directory, segment_bytes=SMALL) as wal:
        for index in range(1, 41):
            wal.save(HardState(1, 1, index), [entry(index, bytes(200))], must_sync=True)
            if index % 10 == 0:
                wal.save_snapshot(WalSnapshot(index, 1))
    first = list_segments(directory)[0].path
    first.write_bytes(b"\xff" * first.stat().st_size)
    with pytest.raises(CorruptionError):
        valid_snapshot_entries(directory)
    found = valid_snapshot_entries(directory, from_index=20)
    assert {20, 30, 40} <= {one.index for one in found}


# Locks and purge.


def test_a_second_opening_is_refused_while_the_first_lasts(directory: Path) -> None:
    with create(directory) as wal, pytest.raises(ConfigError, match="in use by another process"):
        reopen(directory)
    assert wal.directory == directory
    assert contents(directory).entries == []


def test_another_process_is_refused_too(directory: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from kvorum.errors import ConfigError\n"
        "from kvorum.wal import Wal, WalSnapshot\n"
        "try:\n"
        "    Wal.open(pathlib.Path(sys.argv[1]), WalSnapshot())\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    with create(directory):
        done = subprocess.run(
            [sys.executable, "-c", program, str(directory)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert "in use by another process" in done.stdout
    assert str(directory) in done.stdout


def test_only_segments_that_were_released_are_purged(directory: Path) -> None:
    with create(directory, segment_bytes=SMALL) as wal:
        for index in range(1, 61):
            wal.save(HardState(1, 1, index), [entry(index, bytes(300))], must_sync=True)
        wal.save_snapshot(WalSnapshot(50, 1))
        before = list_segments(directory)
        assert wal.purge(2) == []
        wal.release_to(50)
        removed = wal.purge(2)
        left = list_segments(directory)
        assert len(removed) > 3
        assert [one.path for one in before] == [*removed, *(one.path for one in left)]
        assert len(left) >= 2
        assert left[0].first_index < 50
        wal.save(HardState(1, 1, 60), entries(61, 61), must_sync=True)
    found = contents(directory, WalSnapshot(50, 1))
    assert [one.index for one in found.entries] == list(range(51, 62))


def test_the_newest_segments_are_not_purged(directory: Path) -> None:
    with create(directory, segment_bytes=SMALL) as wal:
        for index in range(1, 61):
            wal.save(HardState(1, 1, index), [entry(index, bytes(300))], must_sync=True)
        wal.release_to(60)
        wal.purge(5)
        assert len(list_segments(directory)) == 5


# Failure.


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """As a full disk would, the kernel refuses to let a file grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_failed_poisons_the_log(directory: Path) -> None:
    wal = create(directory)
    wal.save(HardState(1, 1, 0), entries(1, 3), must_sync=True)
    with no_file_above(SEGMENT_BYTES), pytest.raises(WalFailedError, match="start the member"):
        wal.save(None, [entry(4, bytes(2 * SEGMENT_BYTES))], must_sync=True)
    # There is room again, but what the file holds now is not known.
    with pytest.raises(WalFailedError):
        wal.save(None, entries(4, 4), must_sync=True)
    with pytest.raises(WalFailedError):
        wal.save_snapshot(WalSnapshot(1, 1))
    wal.close()
    assert contents(directory).entries == entries(1, 3)


def test_a_flush_that_failed_is_not_tried_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may have dropped the dirty pages: a second fsync would succeed, and lie."""
    wal = Wal.create(directory, METADATA, segment_bytes=SEGMENT_BYTES)

    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(WalFailedError, match="Input/output error"):
            wal.save(None, entries(1, 1), must_sync=True)
    with pytest.raises(WalFailedError, match="Input/output error"):
        wal.save(None, entries(1, 1), must_sync=True)
    wal.close()


def test_a_segment_that_could_not_be_prepared_is_tried_again_when_it_is_needed(
    directory: Path,
) -> None:
    directory.mkdir()
    (directory / "0.tmp").mkdir()  # in the way
    pipeline = SegmentPipeline(directory, SMALL)
    pipeline.start()
    fd, path = pipeline.take()
    assert path.read_bytes() == bytes(SMALL)
    os.close(fd)
    pipeline.close()


def test_must_sync_decides_about_the_flush(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = Wal.create(directory, METADATA, segment_bytes=SEGMENT_BYTES)
    flushed: list[int] = []
    flush = os.fdatasync

    def counting(fd: int) -> None:
        flushed.append(fd)
        flush(fd)

    monkeypatch.setattr(os, "fdatasync", counting)
    wal.save(HardState(1, 1, 0), entries(1, 1), must_sync=True)
    assert len(flushed) == 1
    wal.save(HardState(1, 1, 1), [], must_sync=False)
    assert len(flushed) == 1
    wal.save_snapshot(WalSnapshot(1, 1))
    assert len(flushed) == 2
    wal.close()
    assert len(flushed) == 3


def test_close_may_be_called_twice(directory: Path) -> None:
    wal = create(directory)
    wal.close()
    wal.close()
    assert contents(directory).metadata == METADATA
