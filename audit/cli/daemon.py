"""``enclave-audit daemon``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(daemon)


def daemon(
    socket: Annotated[Path, typer.Option(help="Unix socket to listen on.")],
    log: Annotated[Path, typer.Option(help="Public log directory.")],
    state: Annotated[Path, typer.Option(help="Private directory: write-ahead log, payloads, keys.")],
    origin: Annotated[str, typer.Option(help="The log's name in its checkpoints.")],
    allow_uid: Annotated[list[int] | None, typer.Option(help="User id that may write; repeatable.")] = None,
) -> None:
    """Run the daemon, the only writer of the log, until SIGTERM."""
    # imported here: an auditor who only verifies needs neither structlog nor the writer's parts
    from audit.daemon.__main__ import DaemonSettings, run
    from audit.daemon.core import LogSettings

    raise typer.Exit(run(DaemonSettings(LogSettings(log, state, origin), socket, tuple(allow_uid or ()))))
