"""For every flag a value that is right, what it comes out as, and one that is wrong.

`text` is what stands on the command line and in the variable, `value` the field of `Config`, `key`
what stands in the file (as YAML; None: a file cannot set it). `wrong` is refused with `refusal`,
which is the reason without what stands in front of it (`invalid value "…" for flag -name: …`), or,
where `whole` is set, everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvorum.embed.config_flag import Flag, Kind

URL_REFUSAL = "URL scheme must be http, https, unix, or unixs: foo"
PARSE = "parse error"
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Case:
    text: str
    value: Any
    key: str | None
    wrong: str
    refusal: str
    whole: bool = False


def _number(text: str, key: str | None = "same", refusal: str = PARSE) -> Case:
    return Case(text, int(text), text if key == "same" else key, "x", refusal)


def _seconds(count: int, key: bool = True) -> Case:
    return Case(f"{count}s", float(count), str(count * NS_PER_S) if key else None, "5", PARSE)


def _whole(text: str, value: Any, wrong: str, refusal: str, key: str | None = None) -> Case:
    return Case(text, value, key or f'"{text}"', wrong, refusal, whole=True)


def _free(text: str) -> Case:
    """A text that may be anything; on the command line it is wrong only when it is missing."""
    return Case(text, text, f'"{text}"', "", "")


_URL = "http://127.0.0.1:7"
_MULTIPLE = (
    "multiple discovery or bootstrap flags are set. Choose one of "
    '"initial-cluster", "discovery", "discovery-endpoints" or "discovery-srv"'
)
_BOTH = "both --discovery-token and --discovery-endpoints must be set"
_ROTATION = '{"maxsize": 7}'
_RATE = "distributed tracing configurition is not valid: (tracing sampling rate must be positive)"

SPECIAL: dict[str, Case] = {
    "auto-compaction-mode": _whole("revision", "revision", "x", 'unknown auto-compaction-mode "x"'),
    "auto-compaction-retention": _whole(
        "5m", "5m", "x", 'error parsing CompactionRetention: time: invalid duration "x"'
    ),
    "log-level": _whole("debug", "debug", "x", 'unrecognized level: "x"'),
    "log-format": _whole(
        "console", "console", "x", "unknown log format: x, supported values json, console"
    ),
    "metrics": _whole(
        "extensive", "extensive", "x", 'unknown level of metrics "x" (known: basic, extensive)'
    ),
    "log-outputs": _whole(
        "stderr,stdout",
        ("stderr", "stdout"),
        "default,stdout",
        'multi logoutput for "default" is not supported yet',
        "[stderr, stdout]",
    ),
    "log-rotation-config-json": Case(_ROTATION, _ROTATION, f"'{_ROTATION}'", "", ""),
    "initial-cluster": Case(
        "default=http://h:1", "default=http://h:1", '"default=http://h:1"', "", ""
    ),
    "initial-cluster-state": Case("existing", "existing", "existing", "x", 'invalid value "x"'),
    "emulated-version": Case("3.4", "3.4", '"3.4"', "x", 'invalid value "x"'),
    "v2-deprecation": Case(
        "write-only-skip-check",
        "write-only-skip-check",
        "write-only-skip-check",
        "x",
        'invalid value "x"',
    ),
    "max-concurrent-streams": _number(
        "77", refusal='strconv.ParseUint: parsing "x": invalid syntax'
    ),
    "raft-read-timeout": _seconds(7, key=False),
    "raft-write-timeout": _seconds(7, key=False),
    "socket-reuse-port": Case("true", True, None, "x", PARSE),
    "election-timeout": _number("2000"),
    "heartbeat-interval": _number("50"),
    "cors": Case(
        "http://a:1,http://b:2",
        ("http://a:1", "http://b:2"),
        '"http://a:1,http://b:2"',
        "foo",
        URL_REFUSAL,
    ),
    "host-whitelist": Case("a,b", ("a", "b"), '"a,b"', "", ""),
    "discovery-token": _whole("t", "t", "t", _BOTH),
    "discovery-endpoints": _whole(
        "http://h:1", ("http://h:1",), "http://h:1", _BOTH, "[http://h:1]"
    ),
    "distributed-tracing-sampling-rate": _number("77"),
}

_BY_KIND = {
    Kind.UINT: _number("77"),
    Kind.UINT64: _number("77"),
    Kind.INT: _number("77"),
    Kind.INT64: _number("77"),
    Kind.FLAG_DURATION: _seconds(77),
    Kind.URLS: Case(_URL, (_URL,), f'"{_URL}"', "foo", URL_REFUSAL),
    Kind.OPTIONAL_URLS: Case(_URL, (_URL,), f'"{_URL}"', "foo", URL_REFUSAL),
    Kind.STRING: _free("x"),
}


def case_of(flag: Flag) -> Case:
    """The values for one flag, or for the one that it is an old name of."""
    name = flag.replaced_by or flag.name
    if name in SPECIAL:
        return SPECIAL[name]
    if flag.kind is Kind.BOOL:
        value = flag.default != "true"
        text = str(value).lower()
        return Case(text, value, text, "x", PARSE)
    return _BY_KIND[flag.kind]


WRONG_IN_FILE: dict[Kind, tuple[str, str]] = {
    Kind.BOOL: ("'true'", "string"),
    Kind.UINT: ("'7'", "string"),
    Kind.UINT64: ("-7", "number -7"),
    Kind.UINT32: ("4294967296", "number 4294967296"),
    Kind.INT: ("'7'", "string"),
    Kind.INT64: ("[]", "array"),
    Kind.FLAG_DURATION: ("7s", "string"),
    Kind.STRINGS: ("x", "string"),
    Kind.ENDPOINTS: ("x", "string"),
}
"""A value of the wrong type, as YAML, and what Go's decoder calls it; else it is a number."""
