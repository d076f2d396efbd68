"""The generated modules are those of the `.proto` texts beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from kvorum.proto.rpc_pb2 import PutRequest

ROOT = Path(__file__).parents[3]


def test_generated_modules_are_fresh() -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed (pip install .[dev])")
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "gen_proto.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_our_classes_are_not_in_the_default_pool() -> None:
    assert PutRequest.DESCRIPTOR.full_name == "etcdserverpb.PutRequest"
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName("kvorum/proto/rpc.proto")
