"""``enclave selftest``: attack this installation's own isolation, now."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from audit.client import AuditUnavailable
from enclave.domain.decisions import RefusedError
from enclave.selftest.report import folder_of, to_json, to_text
from enclave.selftest.run import run_selftest, with_engine
from enclave.settings import get_settings


def selftest(
    engine: Annotated[str, typer.Option(help="bubblewrap or docker; by default the one in the settings.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    reason: Annotated[str, typer.Option(hidden=True)] = "asked",
) -> None:
    """Run every probe in a throw-away workspace of this running enclave; exit code 1 if anything is open."""
    signal.signal(signal.SIGTERM, _end)
    settings = get_settings()
    if engine:
        settings = with_engine(settings, engine)
    try:
        report = run_selftest(settings, reason)
    except AuditUnavailable as error:
        raise RefusedError("The audit log does not answer, so nothing was run. Start the enclave first.") from error
    if json:
        print(to_json(report))
    else:
        print(to_text(report), end="")
        print(f"\nKept as {folder_of(settings) / report.name}.json and .txt")
    raise SystemExit(0 if report.is_good else 1)


def _end(*_: object) -> None:
    """As an exception, so that the throw-away workspace is taken away."""
    raise KeyboardInterrupt
