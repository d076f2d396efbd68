from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvorum.mvcc.events import Event
from kvorum.mvcc.watch_index import (
    FRAGMENT,
    NO_DELETE,
    NO_PUT,
    ONE_KEY,
    PREV_KV,
    TO_LAST_KEY,
    WatchGroup,
    WatchIndex,
)

keys = st.sampled_from([bytes((a, b)) for a in b"abc" for b in b"abc"] + [b"a", b"b", b"c", b"\0"])
ends = st.one_of(st.just(ONE_KEY), st.just(TO_LAST_KEY), keys)
interests = st.tuples(keys, ends, st.integers(0, 15)).filter(
    lambda i: i[1] in (ONE_KEY, TO_LAST_KEY) or i[0] < i[1]
)


def holds(group: WatchGroup, key: bytes) -> bool:
    if group.end == ONE_KEY:
        return key == group.key
    return group.key <= key and (group.end == TO_LAST_KEY or key < group.end)


@given(changes=st.lists(st.tuples(st.booleans(), interests), max_size=40))
def test_the_groups_that_watch_a_key_are_found_once_each(
    changes: list[tuple[bool, tuple[bytes, bytes, int]]],
) -> None:
    index = WatchIndex()
    members: list[WatchGroup] = []
    for joins, interest in changes:
        if joins:
            members.append(index.join(*interest))
        elif members:
            index.leave(members.pop(len(members) // 2))
    alive = {id(group): group for group in members}
    assert set(map(id, index.groups.values())) == set(alive)
    for key in [b"\0", b"a", b"ab", b"abc", b"bb", b"c", b"cc", b"d"]:
        found = index.matching(key)
        expected = {ident for ident, group in alive.items() if holds(group, key)}
        assert len(found) == len(expected)
        assert {id(group) for group in found} == expected


def test_watchers_with_the_same_interest_share_a_group() -> None:
    index = WatchIndex()
    group = index.join(b"a", b"b", 0)
    assert index.join(b"a", b"b", 0) is group
    assert index.join(b"a", b"b", PREV_KV) is not group
    index.leave(group)
    assert group in index.matching(b"a")
    index.leave(group)
    assert group not in index.matching(b"a")


def test_filters_drop_puts_and_deletions() -> None:
    put, deletion = Event(False, b"k", b"", 2, 2, 1), Event(True, b"k", b"", 3)

    def wanted(flags: int) -> tuple[bool, bool]:
        group = WatchGroup(b"k", ONE_KEY, flags)
        return group.wants(put), group.wants(deletion)

    assert wanted(0) == (True, True)
    assert wanted(PREV_KV | FRAGMENT) == (True, True)
    assert wanted(NO_PUT) == (False, True)
    assert wanted(NO_DELETE) == (True, False)
    assert wanted(NO_PUT | NO_DELETE) == (False, False)
