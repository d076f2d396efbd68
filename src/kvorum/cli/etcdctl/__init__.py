"""etcdctl: the command line client. Outputs, exit codes and error texts are stock 3.5's.

They are compared with stock etcdctl 3.5.1 step by step (tests/interop/test_etcdctl_*.py). What
differs on purpose:

- help and usage are worded differently; log lines of fatal errors have no Go stack trace
- txn: comparisons of leases work, an unknown operator is an error (stock panics at both), `-h` in
  an operation is an error (stock waits for ever)
- txn, watch -i: what stands in single quotes is one word, whole (stock cuts it, or panics)
- ETCDCTL_COMMAND_TIMEOUT holds for every command (in stock, for some commands it comes too late)
- lock, elect: the session's lease is revoked at the end (stock leaves it to its time)
- alarm disarm -w fields prints what was disarmed (stock panics)
- output that cannot be written ends the command with exit code 6 (stock does not notice)
- --insecure-skip-tls-verify with TLS files is refused: gRPC for Python checks every certificate
- --discovery-srv asks the name server of KVORUM_DNS_SERVER (address:port), where that is set
"""

from kvorum.cli.etcdctl.program import main

__all__ = ["main"]
