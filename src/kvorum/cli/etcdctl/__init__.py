"""etcdctl: the command line client. Outputs, exit codes and error texts are stock 3.5's."""

from kvorum.cli.etcdctl.program import main

__all__ = ["main"]
