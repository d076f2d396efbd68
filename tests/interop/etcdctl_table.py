"""All scripts of etcdctl command lines, for comparing two clients or two servers.

`SCRIPTS` need a fresh server each and nothing else. `AUTH` and `TLS` need one that was prepared.
"""

from __future__ import annotations

from tests.interop.etcdctl_steps import Script, Step
from tests.interop.etcdctl_table_cluster import AUTH, AUTH_SETUP, DEAD, ENDPOINTS, TLS
from tests.interop.etcdctl_table_globals import GLOBALS, LIMITS, NO_SPACE
from tests.interop.etcdctl_table_keys import BINARY, COMPACTION, DELETE, GET, PUT
from tests.interop.etcdctl_table_maintenance import MAINTENANCE
from tests.interop.etcdctl_table_txn import TXN
from tests.interop.etcdctl_table_watch import LEASES, WATCH, WATCH_INTERACTIVE

__all__ = ["AUTH", "AUTH_SETUP", "SCRIPTS", "TLS", "Script", "Step"]

SCRIPTS = (
    PUT,
    GET,
    DELETE,
    BINARY,
    TXN,
    COMPACTION,
    LEASES,
    WATCH,
    WATCH_INTERACTIVE,
    ENDPOINTS,
    DEAD,
    GLOBALS,
    LIMITS,
    NO_SPACE,
    *MAINTENANCE,
)
