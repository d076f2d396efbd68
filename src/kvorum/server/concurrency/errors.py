"""What clients of the lock and election services are told. The code is UNKNOWN for all of it.

Source: 3.5.1, through a gRPC client.
"""

from __future__ import annotations

from kvorum.errors import RequestError


class SessionExpiredError(RequestError):
    """The lease, and with it the key, was gone before the lock was got."""

    text = "mutex: session is expired"


class NoElectionLeaderError(RequestError):
    """Nobody stands in this election."""

    text = "election: no leader"


class NotElectionLeaderError(RequestError):
    """The key that made the caller leader is gone, or another."""

    text = "election: not leader"


class LeaderMissingError(RequestError):
    """The request does not tell which leadership it is about."""

    text = '"leader" field must be provided'
