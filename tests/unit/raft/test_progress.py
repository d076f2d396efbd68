from __future__ import annotations

import pytest

from kvorum.raft import NO_LIMIT, ProgressState
from kvorum.raft.inflights import Inflights
from kvorum.raft.progress import Progress

PROBE, REPLICATE, SNAPSHOT = ProgressState.PROBE, ProgressState.REPLICATE, ProgressState.SNAPSHOT


def progress(match: int = 0, next_index: int = 1, count_max: int = 10) -> Progress:
    made = Progress(
        next_index, Inflights(count_max, NO_LIMIT), is_learner=False, recent_active=True
    )
    made.match = match
    return made


def test_the_window_is_full_by_count() -> None:
    window = Inflights(2, NO_LIMIT)
    window.add(5, 100)
    assert not window.full
    window.add(7, 100)
    assert window.full
    window.free_to(6)
    assert len(window) == 1
    assert not window.full


def test_the_window_is_full_by_bytes_and_may_be_passed_by_one_message() -> None:
    window = Inflights(100, 1000)
    window.add(1, 999)
    assert not window.full
    window.add(2, 500)
    assert window.full
    assert window.bytes_total == 1499
    window.free_to(1)
    assert window.bytes_total == 500
    window.clear()
    assert (len(window), window.bytes_total) == (0, 0)


def test_nothing_is_added_to_a_full_window() -> None:
    window = Inflights(1, NO_LIMIT)
    window.add(1, 1)
    with pytest.raises(AssertionError):
        window.add(2, 1)


def test_a_probe_waits_for_its_answer() -> None:
    known = progress(next_index=5)
    known.sent(0, 0, commit=3)
    assert not known.paused, "an empty message is no probe"
    known.sent(2, 10, commit=3)
    assert known.paused
    assert known.next == 5, "what a probe carries may have to be sent again"
    assert known.acknowledge(4)
    assert not known.paused


def test_replication_runs_ahead_until_the_window_is_full() -> None:
    known = progress(match=4, next_index=5, count_max=2)
    known.become_replicate()
    known.sent(3, 10, commit=3)
    assert (known.next, known.paused) == (8, False)
    known.sent(1, 10, commit=3)
    assert (known.next, known.paused) == (9, True)
    known.acknowledge(7)
    known.inflights.free_to(7)
    assert not known.paused


def test_a_message_into_a_full_window_pauses_again() -> None:
    known = progress(match=4, next_index=5, count_max=1)
    known.become_replicate()
    known.sent(1, 10, commit=3)
    known.waiting = False  # an answer to a heartbeat
    known.sent(0, 0, commit=3)
    assert known.paused


def test_a_late_acknowledgement_changes_nothing() -> None:
    known = progress(match=7, next_index=9)
    assert not known.acknowledge(7)
    assert not known.acknowledge(3)
    assert (known.match, known.next) == (7, 9)
    assert known.acknowledge(20)
    assert (known.match, known.next) == (20, 21)


@pytest.mark.parametrize(
    ("rejected", "hint", "accepted", "next_index"),
    [(9, 5, True, 6), (9, 8, True, 9), (9, 2, True, 5), (8, 5, False, 10), (10, 5, False, 10)],
)
def test_a_refused_probe_goes_back_by_the_hint_but_not_below_what_matched(
    rejected: int, hint: int, accepted: bool, next_index: int
) -> None:
    known = progress(match=4, next_index=10)
    known.waiting = True
    assert known.refuse(rejected, hint) is accepted
    assert known.next == next_index
    assert known.waiting is not accepted


def test_a_refusal_while_replicating_goes_back_to_what_matched() -> None:
    known = progress(match=4, next_index=5)
    known.become_replicate()
    known.sent(5, 10, commit=9)
    assert not known.refuse(4, 0), "it matched since"
    assert known.refuse(8, 2)
    assert known.next == 5
    assert known.sent_commit == 4


def test_a_refusal_does_not_disturb_a_snapshot() -> None:
    known = progress(match=0, next_index=5)
    known.become_snapshot(10)
    assert not known.refuse(10, 3)
    assert (known.state, known.next, known.pending_snapshot) == (SNAPSHOT, 11, 10)
    assert known.paused


def test_after_a_snapshot_the_probe_starts_behind_it() -> None:
    known = progress()
    known.become_snapshot(10)
    known.become_probe()
    assert (known.state, known.next, known.pending_snapshot) == (PROBE, 11, 0)


def test_after_a_failed_snapshot_the_probe_starts_at_what_matched() -> None:
    known = progress(match=3, next_index=4)
    known.become_snapshot(10)
    known.snapshot_failed()
    assert (known.state, known.next, known.pending_snapshot) == (PROBE, 4, 0)


def test_the_commit_index_is_worth_a_message_only_when_it_says_something_new() -> None:
    known = progress(match=4, next_index=5)
    known.become_replicate()
    known.sent(3, 10, commit=5)
    assert not known.can_learn_commit(5)
    assert known.can_learn_commit(6)
    known.sent(0, 0, commit=7)
    assert not known.can_learn_commit(9), "it has no entries that far"


def test_a_new_term_forgets_everything() -> None:
    known = progress(match=4, next_index=5)
    known.become_snapshot(9)
    known.match = 4
    known.restart(20)
    assert (known.match, known.next, known.state) == (0, 21, PROBE)
    assert not known.paused
    assert not known.recent_active
