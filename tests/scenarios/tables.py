"""Scenario scripts of majorities and of configuration changes: a table for each command."""

from __future__ import annotations

from kvorum.proto.raftpb import ConfChangeSingle
from kvorum.raft import ConfChangeError, Configuration, ProgressStatus
from kvorum.raft.confchange import enter_joint, leave_joint, simple
from kvorum.raft.quorum import EVERY_INDEX, VoteResult
from kvorum.raft.tracker import Tracker
from tests.scenarios import describe
from tests.scenarios.script import Command

_VOTES = {"y": True, "n": False}
_RESULTS = {
    VoteResult.WON: "VoteWon",
    VoteResult.LOST: "VoteLost",
    VoteResult.PENDING: "VotePending",
}


def run_quorum(command: Command) -> str:
    """`committed` and `vote`, for a majority (cfg) or two joint ones (cfg, cfgj)."""
    first = command.ids("cfg")
    second = [] if command.option("cfgj") == "zero" else command.ids("cfgj")
    config = Configuration(voters=frozenset(first), outgoing=frozenset(second))
    voters = list(dict.fromkeys([*first, *second]))
    if command.name == "vote":
        said = dict(zip(voters, command.items("votes"), strict=True))
        votes = {voter: _VOTES[word] for voter, word in said.items() if word != "_"}
        return _RESULTS[config.vote_result(votes)]
    indexes = dict(zip(voters, command.items("idx"), strict=True))
    acked = {voter: int(text) for voter, text in indexes.items() if text != "_"}
    result = config.committed(acked)
    return _bars(voters, acked) + ("∞" if result == EVERY_INDEX else str(result))


def _bars(voters: list[int], acked: dict[int, int]) -> str:
    """Each voter's index, behind a bar as long as there are voters below it."""
    width = len(voters)
    if not width:
        return "<empty majority quorum>"
    indexes = {voter: acked.get(voter, 0) for voter in voters}
    lines = [" " * (width + 4) + "idx"]
    for voter in sorted(voters):
        index = indexes[voter]
        below = sum(1 for other in indexes.values() if other < index)
        bar = "x" * below + ">" if voter in acked else "?"
        lines.append(f"{bar:<{width + 1}} {index:5d}    (id={voter})")
    return "\n".join(lines) + "\n"


class ConfChangeTable:
    """A configuration that changes with each command, and the progress that comes with it."""

    def __init__(self) -> None:
        self.tracker = Tracker(0, 10, 0)
        self.last_index = 0

    def run(self, command: Command) -> str:
        try:
            config = self._changed(command)
        except ConfChangeError as error:
            return str(error)
        else:
            self.tracker.install(config, self.last_index)
            return self._table()
        finally:
            # Shows in `next` which command a progress was made by.
            self.last_index += 1

    def _changed(self, command: Command) -> Configuration:
        config = self.tracker.config
        changes = [
            ConfChangeSingle(describe.CHANGE_LETTERS[word[0]], int(word[1:]))
            for word in " ".join(command.input).split()
        ]
        if command.name == "simple":
            return simple(config, changes)
        if command.name == "enter-joint":
            return enter_joint(config, changes, auto_leave=command.flag("autoleave"))
        assert command.name == "leave-joint"
        return leave_joint(config)

    def _table(self) -> str:
        lines = [str(self.tracker.config)]
        for id_, progress in self.tracker.progress.items():
            lines.append(f"{id_}: {describe.progress(ProgressStatus.of(progress))}")
        return "\n".join(lines)
