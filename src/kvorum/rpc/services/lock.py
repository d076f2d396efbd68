"""v3lockpb.Lock."""

from __future__ import annotations

from kvorum.proto.lock_pb2 import LockRequest, UnlockRequest
from kvorum.rpc.grpc import UnaryMethods
from kvorum.rpc.services.unknown import with_unknown_code
from kvorum.server.concurrency.mutex import Mutexes
from kvorum.server.concurrency.port import ConcurrencyPort
from kvorum.server.concurrency.session import Sessions


def methods(server: ConcurrencyPort, sessions: Sessions) -> UnaryMethods:
    """The service's methods by path."""
    mutexes = Mutexes(server, sessions)
    return {
        "/v3lockpb.Lock/Lock": (LockRequest, with_unknown_code(mutexes.lock)),
        "/v3lockpb.Lock/Unlock": (UnlockRequest, with_unknown_code(mutexes.unlock)),
    }
