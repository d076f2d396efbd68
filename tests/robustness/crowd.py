"""Clients that use a cluster at the same time and write down what they were told."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import grpc

from kvorum.proto import rpc_pb2 as rpc
from tests.robustness.calls import Calls
from tests.robustness.linearizability.history import Kind, Operation

CALL_S = 3.0
PAUSE_S = 0.02
KINDS = (Kind.PUT, Kind.GET, Kind.GET, Kind.SWAP)
JOIN_S = 30.0


class Client:
    """One client: one call at a time, to a member that it changes when a call fails."""

    def __init__(self, number: int, targets: list[str], keys: list[bytes], seed: int) -> None:
        self.number = number
        self.history: list[Operation] = []
        self._rng = random.Random(seed)
        self._targets = targets
        self._keys = keys
        self._known: dict[bytes, int] = dict.fromkeys(keys, 0)
        self._count = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with Calls(self._rng.choice(self._targets)) as calls:
                while not stop.is_set() and self._one(calls):
                    if self._rng.random() < 0.02:
                        break  # another member, for a change

    def _one(self, calls: Calls) -> bool:
        """One operation. False: it failed."""
        self._count += 1
        kind, key = self._rng.choice(KINDS), self._rng.choice(self._keys)
        value = b"" if kind is Kind.GET else b"%d/%d" % (self.number, self._count)
        op = Operation(kind, key, time.monotonic(), value, self._known[key])
        if kind is not Kind.GET:
            self.history.append(op)
        try:
            answer = self._call(calls, op)
        except grpc.RpcError:
            time.sleep(PAUSE_S)
            return False
        op.ended_s = time.monotonic()
        op.answered = True
        op.revision = answer.header.revision
        self._take(op, answer)
        if kind is Kind.GET:
            self.history.append(op)
        return True

    def _call(self, calls: Calls, op: Operation) -> Any:
        get, put = rpc.RangeRequest(key=op.key), rpc.PutRequest(key=op.key, value=op.value)
        if op.kind is Kind.GET:
            return calls.range_call(get, timeout=CALL_S)
        if op.kind is Kind.PUT:
            return calls.put_call(put, timeout=CALL_S)
        compare = rpc.Compare(
            key=op.key,
            target=rpc.Compare.MOD,
            result=rpc.Compare.EQUAL,
            mod_revision=op.expected,
        )
        request = rpc.TxnRequest(
            compare=[compare],
            success=[rpc.RequestOp(request_put=put)],
            failure=[rpc.RequestOp(request_range=get)],
        )
        return calls.txn_call(request, timeout=CALL_S)

    def _take(self, op: Operation, answer: Any) -> None:
        op.wrote = op.kind is Kind.PUT or (op.kind is Kind.SWAP and answer.succeeded)
        if op.wrote:
            self._known[op.key] = op.revision
            return
        found = answer if op.kind is Kind.GET else answer.responses[0].response_range
        if found.kvs:
            op.seen = found.kvs[0].value, found.kvs[0].mod_revision
        self._known[op.key] = op.seen[1] if op.seen else 0


@dataclass(slots=True)
class Crowd:
    """Clients in threads, from `with` to its end."""

    targets: list[str]
    prefix: bytes
    size: int = 6
    key_count: int = 4
    seed: int = 0
    clients: list[Client] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Crowd:
        keys = [b"%b/%d" % (self.prefix, number) for number in range(self.key_count)]
        for number in range(self.size):
            client = Client(number, self.targets, keys, self.seed * 1000 + number)
            self.clients.append(client)
            self._threads.append(threading.Thread(target=client.run, args=(self._stop,)))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(JOIN_S)
            assert not thread.is_alive()

    def answered(self) -> int:
        return sum(op.answered for client in self.clients for op in client.history[-10_000:])

    def history(self) -> list[Operation]:
        return [op for client in self.clients for op in client.history]
