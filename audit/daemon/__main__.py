"""``python -m audit.daemon``: exit code 0 after a clean stop, 1 when it had to stop, 3 when it refuses to start."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from audit.daemon.core import AuditLog, LogSettings
from audit.daemon.keys import StartRefused
from audit.daemon.publishing import PublishingFailed
from audit.daemon.server import Server
from audit.durable import DurableError
from audit.note import NoteError
from audit.wal import DEFAULT_SEGMENT_BYTES, WalBroken, WalRefused

EXIT_STOPPED = 1
EXIT_REFUSED = 3


@dataclass(frozen=True)
class DaemonSettings:
    """What the command line says."""

    log: LogSettings
    socket: Path
    allowed_uids: tuple[int, ...] = ()


def run(settings: DaemonSettings) -> int:
    """Open the log and serve until SIGTERM; return the exit code."""
    configure_log()
    operator_log = structlog.get_logger()
    try:
        audit_log = AuditLog(settings.log)
    except (StartRefused, WalRefused, DurableError, NoteError, OSError) as error:
        operator_log.error("start-refused", reason=str(error))
        return EXIT_REFUSED
    if audit_log.cut:
        operator_log.warning("torn-tail-cut", bytes=audit_log.cut, kept_in="torn")
    operator_log.info("started", records=audit_log.size, vkey=audit_log.vkey)
    try:
        Server(audit_log, settings.socket, settings.allowed_uids).run()
    except (WalBroken, PublishingFailed, OSError) as error:
        operator_log.error("stopped", reason=str(error))
        return EXIT_STOPPED
    operator_log.info("stopped-cleanly", records=audit_log.size)
    return 0


def configure_log() -> None:
    """JSON lines on standard error; no record's content is ever written there."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def parse_arguments(arguments: Sequence[str]) -> DaemonSettings:
    """Read the command line (exits with 2 on a usage error)."""
    parser = argparse.ArgumentParser(prog="python -m audit.daemon", description="The only writer of the audit log.")
    parser.add_argument("--socket", type=Path, required=True, help="unix socket to listen on")
    parser.add_argument("--log", type=Path, required=True, help="public log directory")
    parser.add_argument("--state", type=Path, required=True, help="private directory: write-ahead log, payloads, keys")
    parser.add_argument("--origin", required=True, help="the log's name in its checkpoints")
    parser.add_argument("--allow-uid", type=int, action="append", default=[], help="user id that may write; repeatable")
    parser.add_argument("--segment-bytes", type=int, default=DEFAULT_SEGMENT_BYTES, help="write-ahead segment size")
    given = parser.parse_args(arguments)
    log = LogSettings(given.log, given.state, given.origin, given.segment_bytes)
    return DaemonSettings(log, given.socket, tuple(given.allow_uid))


if __name__ == "__main__":
    sys.exit(run(parse_arguments(sys.argv[1:])))
