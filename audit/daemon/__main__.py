"""``python -m audit.daemon``: exit code 0 after a clean stop, 1 when it had to stop, 3 when it refuses to start."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from audit.daemon import hardware_key
from audit.daemon.account import become, go_ahead_of_others
from audit.daemon.core import AuditLog, LogSettings
from audit.daemon.heartbeat import DEFAULT_HEARTBEAT_SECONDS
from audit.daemon.keys import StartRefused
from audit.daemon.outside import Outside, OutsideOptions, add_arguments, read_arguments
from audit.daemon.pruning import check_keep_days
from audit.daemon.publishing import PublishingFailed
from audit.daemon.reserve import DEFAULT_RESERVE_BYTES
from audit.daemon.server import Server, ServerSettings
from audit.durable import DurableError
from audit.note import NoteError, SigningFailed
from audit.operator_log import configure_log
from audit.payload_segments import PayloadSegmentError
from audit.wal import DEFAULT_SEGMENT_BYTES, WalBroken, WalRefused

EXIT_STOPPED = 1
SWITCH_SECONDS = 0.0005
EXIT_REFUSED = 3


@dataclass(frozen=True)
class DaemonSettings:
    """What the command line says."""

    log: LogSettings
    socket: Path
    allowed_uids: tuple[int, ...] = ()
    run_as: int | None = None
    realtime: bool = False
    reader_uids: tuple[int, ...] | None = None
    heartbeat_seconds: int = DEFAULT_HEARTBEAT_SECONDS
    keep_days: int = 0
    outside: OutsideOptions = field(default_factory=OutsideOptions)

    @property
    def server(self) -> ServerSettings:
        """What the loop needs to know."""
        return ServerSettings(self.socket, self.allowed_uids, self.reader_uids, self.heartbeat_seconds, self.keep_days)


def run(settings: DaemonSettings) -> int:
    """Open the log and serve until SIGTERM; return the exit code."""
    configure_log()
    operator_log = structlog.get_logger()
    try:
        check_keep_days(settings.keep_days)
        take_place(settings, operator_log)
        others = settings.outside.load()
        audit_log = AuditLog(replace(settings.log, witness_urls=others.witness_urls))
        outside = Outside(others, audit_log)
    except (StartRefused, WalRefused, DurableError, NoteError, SigningFailed, PayloadSegmentError, OSError) as error:
        operator_log.error("start-refused", reason=str(error))
        return EXIT_REFUSED
    if audit_log.cut:
        operator_log.warning("torn-tail-cut", bytes=audit_log.cut, kept_in="torn")
    operator_log.info("started", records=audit_log.size, vkey=audit_log.vkey)
    keep_commits_short()
    try:
        Server(audit_log, settings.server, outside).run()
    except (WalBroken, PublishingFailed, SigningFailed, OSError) as error:
        operator_log.error("stopped", reason=str(error))
        return EXIT_STOPPED
    operator_log.info("stopped-cleanly", records=audit_log.size)
    return 0


def take_place(settings: DaemonSettings, operator_log: structlog.typing.FilteringBoundLogger) -> None:
    """Scheduling and account, before anything is opened; raise StartRefused or OSError."""
    if settings.realtime and not go_ahead_of_others():
        operator_log.warning("no-realtime-scheduling", reason="not permitted here; a busy machine delays records")
    if settings.run_as is not None:
        become(settings.run_as, (settings.log.state_dir, settings.log.log_dir, settings.socket.parent))


def keep_commits_short() -> None:
    """Less waiting in the one thread that commits: for the publishing thread, and for the garbage collector."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def parse_arguments(arguments: Sequence[str]) -> DaemonSettings:
    """Read the command line (exits with 2 on a usage error)."""
    parser = argparse.ArgumentParser(prog="python -m audit.daemon", description="The only writer of the audit log.")
    parser.add_argument("--socket", type=Path, required=True, help="unix socket to listen on")
    parser.add_argument("--log", type=Path, required=True, help="public log directory")
    parser.add_argument("--state", type=Path, required=True, help="private directory: write-ahead log, payloads, keys")
    parser.add_argument("--origin", required=True, help="the log's name in its checkpoints")
    parser.add_argument("--allow-uid", type=int, action="append", default=[], help="user id that may write; repeatable")
    parser.add_argument("--segment-bytes", type=int, default=DEFAULT_SEGMENT_BYTES, help="write-ahead segment size")
    parser.add_argument("--run-as", type=int, help="user id to continue as, when started by root")
    parser.add_argument("--realtime", action="store_true", help="real-time scheduling, when permitted")
    add_own_options(parser)
    add_arguments(parser)
    hardware_key.add_arguments(parser)
    given = parser.parse_args(arguments)
    log = LogSettings(given.log, given.state, given.origin, given.segment_bytes, given.reserve_bytes)
    log = replace(log, hardware_key=hardware_key.read_arguments(parser, given))
    return DaemonSettings(
        log,
        given.socket,
        tuple(given.allow_uid),
        given.run_as,
        given.realtime,
        None if given.reader_uid is None else tuple(given.reader_uid),
        given.heartbeat_seconds,
        given.keep_days,
        read_arguments(given),
    )


def add_own_options(parser: argparse.ArgumentParser) -> None:
    """Options about what the log does by itself and who may read payloads."""
    parser.add_argument(
        "--reader-uid",
        type=int,
        action="append",
        help="user id that may read payloads, redact and prune; repeatable (default: everybody who may write)",
    )
    parser.add_argument(
        "--heartbeat-seconds",
        type=int,
        default=DEFAULT_HEARTBEAT_SECONDS,
        help="interval of the record that says the log is alive; 0: no records about its own start, life and stop",
    )
    parser.add_argument("--reserve-bytes", type=int, default=DEFAULT_RESERVE_BYTES, help="space kept for a full disk")
    parser.add_argument("--keep-days", type=int, default=0, help="prune older records once a day; 0: keep all")


if __name__ == "__main__":
    sys.exit(run(parse_arguments(sys.argv[1:])))
