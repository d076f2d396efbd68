"""Flags of what a member tells of itself: its log and its traces.

Source: shared facts, flags.md section 1; texts checked against 3.5.1.
"""

from __future__ import annotations

from typing import Any

from kvorum.embed.config_flag import Flag, Kind, Section
from kvorum.embed.log_rotation import LOG_ROTATION


def _row(name: str, kind: Kind, default: str, section: Section, text: str, **more: Any) -> Flag:
    more.setdefault("field", name.replace("-", "_"))
    return Flag(name=name, kind=kind, default=default, section=section, help=text, **more)


_S, _L, _T = Kind.STRING, Section.LOGGING, Section.TRACING

LOGGING: tuple[Flag, ...] = (
    _row(
        "log-outputs",
        Kind.STRINGS,
        "default",
        _L,
        "Comma-separated: 'stdout', 'stderr' or paths of files, or 'systemd/journal' alone; "
        "'default' is stderr.",
    ),
    _row(
        "log-level",
        _S,
        "info",
        _L,
        "Least important lines to write: debug, info, warn, error, panic or fatal.",
    ),
    _row("log-format", _S, "json", _L, "'json' or 'console'."),
    _row(
        "enable-log-rotation",
        Kind.BOOL,
        "false",
        _L,
        "Begin a new log file now and then; one of 'log-outputs' must be a file.",
    ),
    _row(
        "log-rotation-config-json",
        _S,
        LOG_ROTATION,
        _L,
        "When: 'maxsize' in MB (0: 100); which old files stay: 'maxage' in days, 'maxbackups' "
        "(0: all); 'localtime' in their names, else UTC; 'compress' them with gzip.",
    ),
)

TRACING: tuple[Flag, ...] = (
    _row(
        "enable-distributed-tracing",
        Kind.BOOL,
        "false",
        _T,
        "Tell an OpenTelemetry collector of gRPC calls. Needs the extra kvorum[tracing].",
    ),
    _row(
        "distributed-tracing-address",
        _S,
        "localhost:4317",
        _T,
        "Where the collector takes OTLP by gRPC, without TLS.",
    ),
    _row(
        "distributed-tracing-service-name",
        _S,
        "etcd",
        _T,
        "Name of the service; the same for all members.",
    ),
    _row(
        "distributed-tracing-instance-id",
        _S,
        "",
        _T,
        "Id of this member there, of its own; none when empty.",
    ),
    _row(
        "distributed-tracing-sampling-rate",
        Kind.INT,
        "0",
        _T,
        "Calls in a million to tell of, besides those of a caller that is traced.",
    ),
)
