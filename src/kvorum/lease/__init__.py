"""Leases: keys that live as long as their client says so, and not longer.

`Lessor` holds all leases of a member.
"""

from kvorum.lease.lease import Lease, LeaseCheckpoint, min_ttl_s
from kvorum.lease.lessor import Lessor, LessorStatistics

__all__ = ["Lease", "LeaseCheckpoint", "Lessor", "LessorStatistics", "min_ttl_s"]
