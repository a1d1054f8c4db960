"""``enclave-audit verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from audit.cli.options import EXIT_FAILED, AsJson, LogDir, fail, read_key, read_text
from audit.verify import VerifyError, verify_log


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(verify)


def verify(
    log_dir: LogDir,
    key: Annotated[str, typer.Option(help="The log's verifier key, or a file that holds it.")],
    since: Annotated[Path | None, typer.Option(help="A signed checkpoint kept from earlier.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole log offline: signature, tree, entries, consistency, files, completeness."""
    try:
        report = verify_log(log_dir, read_key(key), None if since is None else read_text(since))
    except VerifyError as error:
        fail(str(error), as_json)
    print(json.dumps(report.as_json(), ensure_ascii=False) if as_json else "\n".join(report.lines()))
    raise typer.Exit(0 if report.ok else EXIT_FAILED)
