from __future__ import annotations

from random import Random
from typing import Any

import pytest

from kvorum.errors import ConfigError
from kvorum.raft import APPEND_THREAD, APPLY_THREAD, Config, MemoryStorage


def config(**options: Any) -> Config:
    given: dict[str, Any] = {
        "id": 1,
        "election_tick": 10,
        "heartbeat_tick": 1,
        "storage": MemoryStorage(),
        "rng": Random(1),
    }
    return Config(**(given | options))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"id": 0}, "id 0"),
        ({"id": APPEND_THREAD}, "id 18446744073709551615"),
        ({"id": APPLY_THREAD}, "id 18446744073709551614"),
        ({"heartbeat_tick": 0}, "heartbeat_tick 0"),
        ({"election_tick": 3, "heartbeat_tick": 3}, "election_tick 3 must be above"),
        ({"max_inflight_msgs": 0}, "max_inflight_msgs"),
        ({"max_uncommitted_entries_size": 0}, "max_uncommitted_entries_size"),
        ({"max_size_per_msg": 10, "max_inflight_bytes": 9}, "max_inflight_bytes 9"),
        ({"read_only_lease_based": True}, "needs check_quorum"),
    ],
)
def test_a_value_that_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        config(**options)


def test_what_is_out_to_be_applied_is_limited_like_a_message_unless_said_otherwise() -> None:
    assert config(max_size_per_msg=77).apply_bytes_max == 77
    assert config(max_size_per_msg=77, max_committed_size_per_ready=5).apply_bytes_max == 5
