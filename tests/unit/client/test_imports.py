from __future__ import annotations

import subprocess
import sys

from tests.servers import server_environment


def test_importing_the_client_does_not_import_grpc() -> None:
    """etcdctl prints its help without it: grpc costs some 20 ms."""
    program = "import sys, kvorum.client; sys.exit('grpc' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], check=False, env=server_environment(), timeout=30
    )
    assert result.returncode == 0
