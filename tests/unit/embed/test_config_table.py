"""The table of flags, held against what stock's own help says."""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

import kvorum
from kvorum.embed.config import Config
from kvorum.embed.config_flag import Kind
from kvorum.embed.config_gates import GATES, features
from kvorum.embed.config_load import Given, assemble
from kvorum.embed.config_table import SUPPORTED
from kvorum.embed.config_table_later import FLAGS, GATE_FLAGS, IGNORED, NOT_YET
from kvorum.errors import ConfigError
from tests.stock import require_stock_35

# In 3.5 and gone, or of another default, in the 3.6 that we present ourselves as.
_ONLY_35 = {
    "enable-v2",
    "experimental-enable-v2v3",
    "proxy",
    "proxy-dial-timeout",
    "proxy-failure-wait",
    "proxy-read-timeout",
    "proxy-refresh-interval",
    "proxy-write-timeout",
}
_OTHER_DEFAULT = {"snapshot-count", "discovery-fallback", "v2-deprecation", "data-dir"}


def given(**flags: str) -> dict[str, Given]:
    named = {name.replace("_", "-"): text for name, text in flags.items()}
    return {name: Given(FLAGS[name].parse(text), text) for name, text in named.items()}


def test_all_flags_of_stocks_help_are_known_with_stocks_defaults() -> None:
    stock = subprocess.run(
        [str(require_stock_35().etcd), "--help"], capture_output=True, text=True, check=True
    ).stdout
    defaults = dict(re.findall(r"^  --([a-z0-9-]+)(?: '?(.*?)'?)?$", stock, re.MULTILINE))
    assert len(defaults) > 80
    assert set(defaults) - set(FLAGS) == _ONLY_35
    for name in set(defaults) - _ONLY_35 - _OTHER_DEFAULT:
        flag = FLAGS[name]
        # Its help leaves a zero of these kinds out.
        zero = {Kind.FLAG_DURATION: "0s", Kind.UINT: "0"}.get(flag.kind, "")
        stocks = defaults[name] or zero
        assert flag.parse(flag.default) == flag.parse(stocks), name


def test_every_supported_flag_sets_a_field_and_every_field_has_a_flag() -> None:
    fields_of_flags = {flag.field for flag in SUPPORTED}
    known = {field.name for field in fields(Config)}
    assert fields_of_flags - known == {"feature_gates"}
    assert known - fields_of_flags == {gate.field for gate in GATES.values() if gate.field}


def test_every_default_can_be_given() -> None:
    for flag in FLAGS.values():
        if flag.replaced_by:
            continue
        one = Given(flag.parse(flag.default), flag.default)
        assert assemble({flag.name: one}, from_file=True) == assemble({}, from_file=True)


@pytest.mark.parametrize(
    "flag", [flag for flag in NOT_YET if not flag.refusal and not flag.help], ids=str
)
def test_a_flag_that_is_not_supported_is_refused_by_name(flag: object) -> None:
    row = next(one for one in NOT_YET if one is flag)
    other = {
        Kind.BOOL: "false" if row.default == "true" else "true",
        Kind.STRING: "x",
        Kind.STRINGS: "x",
        Kind.CHOICE: next((c for c in row.choices if c != row.default), ""),
        Kind.FLAG_DURATION: "77s",
    }.get(row.kind, "77")
    with pytest.raises(ConfigError) as caught:
        assemble({row.name: Given(row.parse(other), other)})
    assert str(caught.value) == f"--{row.name} is not supported by this version of Kvorum"


def test_an_old_name_sets_what_the_new_one_sets() -> None:
    config = assemble(given(experimental_compaction_batch_limit="7"))
    assert config.compaction_batch_limit == 7


def test_an_old_and_a_new_name_together_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(
            given(
                experimental_watch_progress_notify_interval="1m",
                watch_progress_notify_interval="2m",
            )
        )
    assert str(caught.value) == (
        "cannot set --experimental-watch-progress-notify-interval and "
        "--watch-progress-notify-interval at the same time, please use "
        "--watch-progress-notify-interval only"
    )


def test_gates_are_set_by_the_gate_or_by_the_old_flag() -> None:
    by_gate = assemble(given(feature_gates="LeaseCheckpoint=true,LeaseCheckpointPersist=true"))
    by_flag = assemble(
        given(
            experimental_enable_lease_checkpoint="true",
            experimental_enable_lease_checkpoint_persist="true",
        )
    )
    assert by_gate == by_flag
    assert by_gate.lease_checkpoint_persist


def test_a_gate_and_its_old_flag_together_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(
            given(experimental_enable_lease_checkpoint="true", feature_gates="LeaseCheckpoint=true")
        )
    assert str(caught.value) == (
        "cannot specify both flags: --experimental-enable-lease-checkpoint=true and "
        "--feature-gates=LeaseCheckpoint=true at the same time, please just use "
        "--feature-gates=LeaseCheckpoint=true"
    )


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("Nope=true", "unrecognized feature gate: Nope"),
        ("LeaseCheckpoint", "missing bool value for LeaseCheckpoint"),
        ("LeaseCheckpoint=x", "invalid value of LeaseCheckpoint=x, err: strconv.ParseBool"),
    ],
)
def test_a_wrong_gate_is_refused(text: str, refusal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FLAGS["feature-gates"].parse(text)
    assert str(caught.value).startswith(refusal)


def test_a_gate_may_be_set_to_how_it_is_here() -> None:
    gates = "AllAlpha=false, TxnModeWriteWithSharedBuffer=true,InitialCorruptCheck=false"
    assert assemble(given(feature_gates=gates)) == assemble({})


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("feature-gates", "TxnModeWriteWithSharedBuffer=false"),
        ("experimental-txn-mode-write-with-shared-buffer", "false"),
    ],
)
def test_a_gate_without_effect_is_refused_with_the_reason(flag: str, text: str) -> None:
    with pytest.raises(ConfigError, match=r"^feature gate \w+=(true|false) has no effect here: ."):
        assemble({flag: Given(FLAGS[flag].parse(text), text)})
    assert set(GATE_FLAGS) <= set(FLAGS)


def test_gates_of_a_later_version_are_known_to_that_version_alone() -> None:
    for version, gate in (("3.6", "FastLeaseKeepAlive=true"), ("3.5", "PriorityRequest=false")):
        with pytest.raises(ConfigError, match=f"^unrecognized feature gate: {gate.split('=')[0]}$"):
            assemble(given(feature_gates=gate, emulated_version=version))
    gates = "FastLeaseKeepAlive=true,PriorityRequest=false"
    config = assemble(given(feature_gates=gates, emulated_version="3.7"))
    assert {"FastLeaseKeepAlive", "PriorityRequest"} <= {one.name for one in features(config)}
    assert not {"FastLeaseKeepAlive"} & {one.name for one in features(Config())}


def test_all_gates_of_a_stage_are_set_but_those_that_are_named() -> None:
    named = "StopGRPCServiceOnDefrag=false,LeaseCheckpoint=false,LeaseCheckpointPersist=false"
    config = assemble(given(feature_gates=f"AllAlpha=true,{named}"))
    assert (config.initial_corrupt_check, config.set_member_local_addr) == (True, True)
    assert not config.lease_checkpoint
    assert config.stop_grpc_service_on_defrag is False
    with pytest.raises(ConfigError, match="PriorityRequest=true has no effect here"):
        assemble(given(feature_gates="AllAlpha=true", emulated_version="3.7"))
    with pytest.raises(ConfigError, match="TxnModeWriteWithSharedBuffer=false has no effect"):
        assemble(given(feature_gates="AllBeta=false"))


def test_the_compaction_mode_may_be_any_while_compaction_is_off() -> None:
    for mode in ("periodic", "revision", ""):
        assert assemble(given(auto_compaction_mode=mode, auto_compaction_retention="0s"))


def test_ignored_flags_are_none_that_set_something() -> None:
    assert not set(IGNORED) & set(FLAGS)


def test_every_field_is_read_by_somebody() -> None:
    """An option that nobody reads has no effect, and should be refused: move it to NOT_YET."""
    source = Path(kvorum.__file__).parent
    definitions = {"config.py", "config_check.py", "config_load.py", "config_table.py"}
    read: set[str] = set()
    for path in source.rglob("*.py"):
        if path.parent.name == "embed" and path.name in definitions:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    by_property = {
        "data_dir": "data_path",
        "emulated_version": "server_version",
        "election_timeout_ms": "election_ticks",
        "quota_backend_bytes": "quota_bytes",
        "wal_dir": "wal_path",
    }
    names = [field.name for field in fields(Config)]
    assert [name for name in names if not {name, by_property.get(name)} & read] == []
