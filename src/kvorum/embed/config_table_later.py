"""Flags of etcd that Kvorum knows and does not support yet, and old names of flags.

A flag of `NOT_YET` is taken with its default and refused with any other value, so that nobody
believes to have set what has no effect. When one comes to be supported its row moves to
`config_table`.

Source: shared facts, flags.md section 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kvorum.embed.config_gates import GATES
from kvorum.embed.config_table import SUPPORTED, Flag, Kind, Section

IGNORED = (
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-election-timeout",
    "peer-heartbeat-interval",
    "retry-interval",
    "snapshot",
    "test.coverprofile",
    "test.outputdir",
    "v",
    "vv",
)
"""Flags of long ago, which etcd takes with any value and without effect."""


def _row(name: str, kind: Kind, default: str, section: Section, **more: Any) -> Flag:
    return Flag(name=name, kind=kind, default=default, section=section, **more)


_V2_PHASES = ("not-yet", "write-only", "write-only-drop-data", "gone", "write-only-skip-check")
_LOG_ROTATION = (
    '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}'
)

NOT_YET: tuple[Flag, ...] = (
    _row("listen-client-http-urls", Kind.STRING, "", Section.MEMBER),
    _row("memory-mlock", Kind.BOOL, "false", Section.MEMBER),
    _row("backend-bbolt-freelist-type", Kind.STRING, "map", Section.MEMBER),
    _row("socket-reuse-port", Kind.BOOL, "false", Section.MEMBER),
    _row("socket-reuse-address", Kind.BOOL, "false", Section.MEMBER),
    _row("raft-read-timeout", Kind.FLAG_DURATION, "5s", Section.MEMBER),
    _row("raft-write-timeout", Kind.FLAG_DURATION, "5s", Section.MEMBER),
    _row("enable-grpc-gateway", Kind.BOOL, "true", Section.MEMBER),
    _row("strict-reconfig-check", Kind.BOOL, "true", Section.CLUSTERING),
    _row("discovery", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-proxy", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-fallback", Kind.CHOICE, "exit", Section.CLUSTERING, choices=("exit", "proxy")),
    _row("discovery-srv", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-srv-name", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-endpoints", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-token", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-dial-timeout", Kind.FLAG_DURATION, "2s", Section.CLUSTERING),
    _row("discovery-request-timeout", Kind.FLAG_DURATION, "5s", Section.CLUSTERING),
    _row("discovery-keepalive-time", Kind.FLAG_DURATION, "2s", Section.CLUSTERING),
    _row("discovery-keepalive-timeout", Kind.FLAG_DURATION, "6s", Section.CLUSTERING),
    _row("discovery-insecure-transport", Kind.BOOL, "true", Section.CLUSTERING),
    _row("discovery-insecure-skip-tls-verify", Kind.BOOL, "false", Section.CLUSTERING),
    _row("discovery-cert", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-key", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-cacert", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-user", Kind.STRING, "", Section.CLUSTERING),
    _row("discovery-password", Kind.STRING, "", Section.CLUSTERING),
    _row(
        "auto-compaction-mode",
        Kind.STRING,
        "periodic",
        Section.CLUSTERING,
        inert=("revision", ""),  # of no account while the retention is 0
        refusal='unknown auto-compaction-mode "{}"',
    ),
    _row("auto-compaction-retention", Kind.STRING, "0", Section.CLUSTERING, inert=("0s", "0h", "")),
    _row("v2-deprecation", Kind.CHOICE, "write-only", Section.CLUSTERING, choices=_V2_PHASES),
    _row("max-learners", Kind.INT, "1", Section.CLUSTERING),
    _row("cert-file", Kind.STRING, "", Section.SECURITY),
    _row("key-file", Kind.STRING, "", Section.SECURITY),
    _row("client-cert-file", Kind.STRING, "", Section.SECURITY),
    _row("client-key-file", Kind.STRING, "", Section.SECURITY),
    _row("client-cert-auth", Kind.BOOL, "false", Section.SECURITY),
    _row("client-crl-file", Kind.STRING, "", Section.SECURITY),
    _row("client-cert-allowed-hostname", Kind.STRING, "", Section.SECURITY),
    _row("trusted-ca-file", Kind.STRING, "", Section.SECURITY),
    _row("auto-tls", Kind.BOOL, "false", Section.SECURITY),
    _row("peer-cert-file", Kind.STRING, "", Section.SECURITY),
    _row("peer-key-file", Kind.STRING, "", Section.SECURITY),
    _row("peer-client-cert-file", Kind.STRING, "", Section.SECURITY),
    _row("peer-client-key-file", Kind.STRING, "", Section.SECURITY),
    _row("peer-client-cert-auth", Kind.BOOL, "false", Section.SECURITY),
    _row("peer-trusted-ca-file", Kind.STRING, "", Section.SECURITY),
    _row("peer-cert-allowed-cn", Kind.STRING, "", Section.SECURITY),
    _row("peer-cert-allowed-hostname", Kind.STRING, "", Section.SECURITY),
    _row("peer-auto-tls", Kind.BOOL, "false", Section.SECURITY),
    _row("peer-crl-file", Kind.STRING, "", Section.SECURITY),
    _row("peer-skip-client-san-verification", Kind.BOOL, "false", Section.SECURITY),
    _row("self-signed-cert-validity", Kind.UINT, "1", Section.SECURITY),
    _row("cipher-suites", Kind.STRINGS, "", Section.SECURITY),
    _row("tls-min-version", Kind.STRING, "TLS1.2", Section.SECURITY, inert=("",)),
    _row("tls-max-version", Kind.STRING, "", Section.SECURITY),
    _row("cors", Kind.STRING, "*", Section.SECURITY),
    _row("host-whitelist", Kind.STRING, "*", Section.SECURITY),
    _row("auth-token", Kind.STRING, "simple", Section.AUTH),
    _row("bcrypt-cost", Kind.UINT, "10", Section.AUTH),
    _row("auth-token-ttl", Kind.UINT, "300", Section.AUTH),
    _row("enable-pprof", Kind.BOOL, "false", Section.PROFILING),
    _row("metrics", Kind.STRING, "basic", Section.PROFILING),
    _row("listen-metrics-urls", Kind.STRING, "", Section.PROFILING),
    _row(
        "logger",
        Kind.STRING,
        "zap",
        Section.LOGGING,
        help="Only 'zap': structured lines.",
        refusal='unknown logger option "{}"',
    ),
    _row("enable-log-rotation", Kind.BOOL, "false", Section.LOGGING),
    _row("log-rotation-config-json", Kind.STRING, _LOG_ROTATION, Section.LOGGING),
    _row("warning-unary-request-duration", Kind.FLAG_DURATION, "300ms", Section.LOGGING),
    _row("warning-apply-duration", Kind.FLAG_DURATION, "100ms", Section.LOGGING),
    _row("enable-distributed-tracing", Kind.BOOL, "false", Section.TRACING),
    _row("distributed-tracing-address", Kind.STRING, "localhost:4317", Section.TRACING),
    _row("distributed-tracing-service-name", Kind.STRING, "etcd", Section.TRACING),
    _row("distributed-tracing-instance-id", Kind.STRING, "", Section.TRACING),
    _row("distributed-tracing-sampling-rate", Kind.INT, "0", Section.TRACING),
    _row("corrupt-check-time", Kind.FLAG_DURATION, "0s", Section.FEATURES),
    _row("compact-hash-check-time", Kind.FLAG_DURATION, "1m", Section.FEATURES),
    _row("bootstrap-defrag-threshold-megabytes", Kind.UINT, "0", Section.FEATURES),
    _row("downgrade-check-time", Kind.FLAG_DURATION, "5s", Section.FEATURES),
    _row("force-new-cluster", Kind.BOOL, "false", Section.UNSAFE),
)

_EXPERIMENTAL = (
    "bootstrap-defrag-threshold-megabytes",
    "compact-hash-check-time",
    "compaction-batch-limit",
    "compaction-sleep-interval",
    "corrupt-check-time",
    "distributed-tracing-address",
    "distributed-tracing-instance-id",
    "distributed-tracing-sampling-rate",
    "distributed-tracing-service-name",
    "downgrade-check-time",
    "enable-distributed-tracing",
    "memory-mlock",
    "peer-skip-client-san-verification",
    "snapshot-catchup-entries",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "watch-progress-notify-interval",
)
"""Flags that older releases had with `experimental-` in front; both names are taken."""

GATE_FLAGS: dict[str, str] = {
    "experimental-stop-grpc-service-on-defrag": "StopGRPCServiceOnDefrag",
    "experimental-initial-corrupt-check": "InitialCorruptCheck",
    "experimental-compact-hash-check-enabled": "CompactHashCheck",
    "experimental-txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
    "experimental-enable-lease-checkpoint": "LeaseCheckpoint",
    "experimental-enable-lease-checkpoint-persist": "LeaseCheckpointPersist",
}
"""Older flags that stand for a feature gate."""


def _old_names(flags: tuple[Flag, ...]) -> list[Flag]:
    known = {flag.name: flag for flag in flags}
    return [
        replace(known[name], name=f"experimental-{name}", replaced_by=name)
        for name in _EXPERIMENTAL
    ]


def _gate_flags() -> list[Flag]:
    return [
        _row(name, Kind.BOOL, str(GATES[gate].default).lower(), Section.FEATURES, gate=gate)
        for name, gate in GATE_FLAGS.items()
    ]


FLAGS: dict[str, Flag] = {
    flag.name: flag
    for flag in (*SUPPORTED, *NOT_YET, *_old_names((*SUPPORTED, *NOT_YET)), *_gate_flags())
}
"""Every flag that sets something, by name."""
