"""Runs of etcdutl (and of what etcdctl shares with it), for comparing ours with stock 3.5.1.

Each run is one of both programs in a folder of its own with the same files:

    s.db        a snapshot         bare.db    member/snap/db of a stopped member
    flipped.db  its hash is wrong  cut.db     its first 100 bytes
    old         a data directory   empty      an empty file        folder     an empty folder
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Nothing here says what is right: stock does."""

    line: str
    program: str = "etcdutl"
    env: Mapping[str, str] = field(default_factory=dict)
    usage: bool = False
    """A usage text is printed; its wording differs."""
    worded: bool = False
    """The reason is told in words of our own."""
    more_log: bool = False
    """Ours has told of another step before it fails."""
    made: tuple[str, ...] = ()
    """Files and folders that are there afterwards, with both."""


FORMS = ("simple", "table", "json", "fields", "protobuf", "xml", "")
TWO = "m1=http://127.0.0.1:12380,m2=http://127.0.0.1:13380"
OWN = "--initial-advertise-peer-urls http://127.0.0.1:12380"

STATUS = (
    *[Run(f"snapshot status s.db -w '{form}'") for form in FORMS],
    *[Run(f"--write-out={form} snapshot status bare.db") for form in FORMS[:4]],
    Run("snapshot status"),
    Run("snapshot status a b"),
    Run("snapshot status nosuch"),
    Run("snapshot status nosuch -w protobuf"),
    Run("snapshot status nosuch -w xml"),
    Run("snapshot status folder"),
    Run("snapshot status cut.db", worded=True),
    Run("snapshot status flipped.db"),
    Run("snapshot status s.db", env={"ETCDUTL_WRITE_OUT": "json"}),
    Run("snapshot status empty", worded=True),
    Run("snapshot status s.db --bogus", usage=True),
    Run("snapshot stat s.db"),
    Run("snap status -wjson s.db"),
)

MADE = ("r/member/snap/db", "r/member/wal", "r/member/snap/0000000000000001-0000000000000001.snap")
RESTORE = (
    Run("snapshot restore s.db --data-dir r", made=MADE),
    Run("--data-dir r snapshot restore s.db", made=MADE),
    Run("--data-dir=r snapshot restore s.db", made=MADE),
    Run("snapshot restore s.db --data-dir=", made=("default.etcd/member/snap/db",)),
    Run("snapshot restore s.db --data-dir folder", made=("folder/member/snap/db",)),
    Run(
        f"snapshot restore s.db --data-dir r --wal-dir w --name m1 --initial-cluster {TWO} {OWN}"
        " --initial-cluster-token t",
        made=("r/member/snap/db", "r/member/snap/0000000000000001-0000000000000002.snap", "w"),
    ),
    Run("snapshot restore bare.db --data-dir r --skip-hash-check", made=MADE),
    Run("snapshot restore flipped.db --data-dir r --skip-hash-check", made=MADE),
    Run("snapshot restore", usage=True),
    Run("snapshot restore s.db", usage=True),
    Run("snapshot restore --data-dir r"),
    Run("snapshot restore s.db x --data-dir r"),
    Run("snapshot restore s.db --data-dir r --bogus", usage=True),
    Run("snapshot restore s.db --data-dir old"),
    Run("snapshot restore s.db --data-dir r --wal-dir folder"),
    Run("snapshot restore nosuch --data-dir r"),
    Run("snapshot restore folder --data-dir r"),
    Run("snapshot restore bare.db --data-dir r"),
    Run("snapshot restore flipped.db --data-dir r", more_log=True),
    Run("snapshot restore s.db --data-dir r --name nosuch"),
    Run("snapshot restore s.db --data-dir r --initial-cluster bad"),
    Run("snapshot restore s.db --data-dir r --initial-cluster ''"),
    Run("snapshot restore s.db --data-dir r --initial-cluster default=ftp://x:1"),
    Run("snapshot restore s.db --data-dir r --initial-advertise-peer-urls http://127.0.0.1:1"),
    Run(f"snapshot restore s.db --data-dir r --name m1 --initial-cluster {TWO}"),
)

REST = (
    Run("version"),
    Run("version -w json x y"),
    Run("", usage=True),
    Run("help", usage=True),
    Run("--help", usage=True),
    Run("help bogus", usage=True),
    Run("snapshot", usage=True),
    Run("snapshot bogus", usage=True),
    Run("defrag --help", usage=True),
    Run("bogus"),
    Run("snapshto"),
    Run("-w", usage=True),
    Run("--bogus", usage=True),
    Run("snapshot save x"),
    Run("snapshot save"),
    Run("defrag", usage=True),
    Run("defrag x", usage=True),
    Run("defrag --data-dir", usage=True),
)

OF_ETCDCTL = tuple(
    Run(line, program="etcdctl", env=env, made=made)
    for line, env, made in (
        *[(f"snapshot status s.db -w '{form}'", {}, ()) for form in FORMS],
        ("--write-out=table snapshot status s.db", {}, ()),
        ("snapshot status", {}, ()),
        ("snapshot status nosuch", {}, ()),
        ("snapshot status s.db", {"ETCDCTL_WRITE_OUT": "json"}, ()),
        ("snapshot status s.db --endpoints=x:1 --user=a:b", {}, ()),
        ("snapshot restore s.db --data-dir r", {}, MADE),
        ("--data-dir=r snapshot restore s.db", {}, MADE),
        ("snapshot restore s.db", {}, ("default.etcd/member/snap/db",)),
        (
            "snapshot restore s.db --name m1 --initial-cluster m1=http://127.0.0.1:1"
            " --initial-advertise-peer-urls http://127.0.0.1:1",
            {},
            ("m1.etcd/member/snap/db",),
        ),
        ("snapshot restore", {}, ()),
        ("snapshot restore s.db --data-dir old", {}, ()),
        ("snapshot restore nosuch", {}, ()),
    )
)

RUNS = (*STATUS, *RESTORE, *REST, *OF_ETCDCTL)
