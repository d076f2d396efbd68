"""etcdserverpb.Auth, of a member that has no authentication yet: it is off, and says so.

Clients that are given a user ask for a token first, and go on without one when they hear this.
"""

from __future__ import annotations

from kvorum.errors import AuthNotEnabledError
from kvorum.proto.rpc_pb2 import AuthenticateRequest
from kvorum.rpc.grpc import UnaryMethods


def _authenticate(_: AuthenticateRequest, __: bytes) -> bytes:
    raise AuthNotEnabledError


def methods() -> UnaryMethods:
    """The service's methods by path."""
    return {"/etcdserverpb.Auth/Authenticate": (AuthenticateRequest, _authenticate)}
