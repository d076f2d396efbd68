"""From the command line to a configuration and an open log; and what is said when a start fails.

Source: etcd server/etcdmain/etcd.go; lines, order and exit codes checked against 3.5.1.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping, Sequence

from kvorum.cli.etcd.flags import (
    EXIT_ERROR,
    EXIT_OK,
    Exit,
    ShadowedVariableError,
    load,
    safe_args,
)
from kvorum.embed.config import Config
from kvorum.embed.logging import Log, early_logger, open_log
from kvorum.errors import ConfigError
from kvorum.server.log import Logger

_NO_ADVERTISE = "--advertise-client-urls is required"


def prepare(
    program: str, argv: Sequence[str], environ: MutableMapping[str, str]
) -> tuple[Config, Log]:
    """Read the configuration and open the log, or end the process as etcd would.

    Args:
        program: the name we were called by, for the log.
        argv: the arguments after it.
        environ: the environment; see `flags.load`.

    Raises:
        SystemExit: 0 after help or version, 2 for the syntax of a flag, 1 for anything else that
            is wrong. What there is to say has been printed or logged.
    """
    early = early_logger()
    running = [program, *safe_args(argv)]
    try:
        config = load(argv, environ, early)
        log = open_log(config)
    except Exit as leave:
        sys.stdout.write(leave.stdout)
        sys.stderr.write(leave.stderr)
        raise SystemExit(leave.code) from None
    except ShadowedVariableError as error:
        early.fatal(str(error), environment_variable=error.variable)
        raise SystemExit(EXIT_ERROR) from None
    except ConfigError as error:
        early.info("Running: ", args=running)
        early.warn("failed to verify flags", error=str(error))
        if str(error).startswith(_NO_ADVERTISE):
            early.warn("advertise client URLs are not set", error=str(error))
        raise SystemExit(EXIT_ERROR) from None
    log.logger.info("Running: ", args=running)
    if not config.data_dir:
        log.logger.warn("'data-dir' was empty; using default", data_dir=str(config.data_path))
    return config, log


def log_start_failure(logger: Logger, error: BaseException) -> int:
    """Log that the member could not be started, in etcd's two lines; returns the exit code.

    The second line speaks of discovery whether or not it was used, as etcd's does: programs look
    for it.
    """
    reason = _reason(error)
    logger.warn("failed to start etcd", error=reason)
    logger.fatal("discovery failed", error=reason)
    return EXIT_ERROR


def _reason(error: BaseException) -> str:
    """What the system refused, worded as Go words it and not as Python."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


__all__ = ["EXIT_ERROR", "EXIT_OK", "log_start_failure", "prepare"]
