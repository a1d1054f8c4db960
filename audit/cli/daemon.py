"""``enclave-audit daemon``, and what is asked of a running one: ``redact`` and ``prune``."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.cli.options import AsJson, fail, stamp

if TYPE_CHECKING:
    from audit.event import Receipt

SocketPath = Annotated[Path, typer.Option("--socket", help="Unix socket of the audit daemon.")]
By = Annotated[str, typer.Option("--by", help="Id of the person who does this; it stands in the record.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    everything = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=everything, add_help_option=False)(daemon)
    app.command()(redact)
    app.command()(prune)


def daemon(context: typer.Context) -> None:
    """Run the daemon, the only writer of the log, until SIGTERM (options: daemon --help)."""
    # imported here: an auditor who only verifies needs neither structlog nor the writer's parts
    from audit.daemon.__main__ import parse_arguments, run

    raise typer.Exit(run(parse_arguments(context.args)))


def redact(
    socket: SocketPath,
    month: Annotated[str, typer.Option(help="Month of the payloads, such as 2026-11 (UTC).")],
    by: By,
    legal_basis: Annotated[str, typer.Option(help="Why, as a short token such as gdpr-art-17; never a name.")],
    project: Annotated[str | None, typer.Option(help="The project; left out: records without a project.")] = None,
    as_json: AsJson = False,
) -> None:
    """Erase the payloads of one month and project for good; the records and their proofs stay."""
    from audit.client import AuditClient, AuditUnavailable

    try:
        receipt = AuditClient(socket, "enclave-audit").redact(month, project, by=by, legal_basis=legal_basis)
    except AuditUnavailable as error:
        fail(str(error), as_json)
    say(f"Erased; recorded as entry {receipt.index}.", receipt, as_json)


def prune(
    socket: SocketPath,
    before: Annotated[
        datetime,
        typer.Option(help="Remove whole bundles of records older than this time (UTC), a year ago or earlier."),
    ],
    by: By,
    as_json: AsJson = False,
) -> None:
    """Remove old entries and payloads; their hashes stay, so that later proofs still verify."""
    from audit.client import AuditClient, AuditUnavailable

    try:
        receipt = AuditClient(socket, "enclave-audit").prune(stamp(before), by=by)
    except AuditUnavailable as error:
        fail(str(error), as_json)
    say(f"Pruned; recorded as entry {receipt.index}.", receipt, as_json)


def say(sentence: str, receipt: Receipt, as_json: bool) -> None:
    """Print what was done and where it is recorded."""
    fields = {"ok": True, "index": receipt.index, "leaf_hash": receipt.leaf_hash}
    print(json.dumps(fields) if as_json else sentence)
