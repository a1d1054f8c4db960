"""``enclave-audit``: the log's command line, one file per group. Exit codes: 0, 1 failed, 2 unreadable."""

from __future__ import annotations

import typer

from audit.cli import alerts, check, daemon, export, key, policy, records, timestamp, verify, witness

app = typer.Typer(help="Enclave's audit log.", no_args_is_help=True, add_completion=False)
for group in (verify, check, records, daemon, policy, witness, alerts, export, timestamp, key):
    group.register(app)


def main() -> None:
    """Entry point of ``enclave-audit``."""
    app()
