"""Flags of etcd that Kvorum knows and does not support yet, and old names of flags.

A flag of `NOT_YET` is taken with its default and refused with any other value, so that nobody
believes to have set what has no effect. When one comes to be supported its row moves to
`config_table`.

Source: shared facts, flags.md section 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kvorum.embed.config_flag import Flag, Kind, Section
from kvorum.embed.config_gates import GATES
from kvorum.embed.config_table import SUPPORTED

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


_V2_DISCOVERY = (
    "discovery by the version 2 protocol (--discovery, --discovery-proxy) is not supported: it "
    "needs an etcd that serves version 2 of the API; use --discovery-endpoints with "
    "--discovery-token, or --discovery-srv"
)

NOT_YET: tuple[Flag, ...] = (
    _row(
        "backend-bbolt-freelist-type",
        Kind.STRING,
        "map",
        Section.MEMBER,
        help="Only 'map': the database is LMDB, whose list of free pages has one form.",
        refusal="--backend-bbolt-freelist-type={} has no effect here: the database is LMDB, not "
        "bbolt; leave the flag out",
    ),
    _row(
        "socket-reuse-address",
        Kind.BOOL,
        "false",
        Section.MEMBER,
        help="SO_REUSEADDR is always set, here as in etcd on Linux.",
        inert=("true",),
    ),
    _row("discovery", Kind.STRING, "", Section.CLUSTERING, refusal=_V2_DISCOVERY),
    _row("discovery-proxy", Kind.STRING, "", Section.CLUSTERING, refusal=_V2_DISCOVERY),
    _row("discovery-fallback", Kind.CHOICE, "exit", Section.CLUSTERING, choices=("exit", "proxy")),
    _row(
        "discovery-insecure-skip-tls-verify",
        Kind.BOOL,
        "false",
        Section.CLUSTERING,
        refusal="--discovery-insecure-skip-tls-verify is not supported: gRPC for Python always "
        "checks certificates; name the CA in --discovery-cacert",
    ),
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
    _row("auth-token", Kind.STRING, "simple", Section.AUTH),
    _row("bcrypt-cost", Kind.UINT, "10", Section.AUTH),
    _row("auth-token-ttl", Kind.UINT, "300", Section.AUTH),
    _row(
        "logger",
        Kind.STRING,
        "zap",
        Section.LOGGING,
        help="Only 'zap': structured lines.",
        refusal='unknown logger option "{}"',
        refusals=(("capnslog", "--logger=capnslog is removed in v3.5"),),
    ),
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
