"""``enclave-audit check``: one proof, one record, one key; no log needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.cli.options import EXIT_FAILED, fail, read_key, read_text
from audit.proof import ProofError, parse_proof, verify_proof
from audit.verify import VerifyError


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(check)


def check(
    proof: Annotated[Path, typer.Argument(help="A .tlog-proof file.")],
    record: Annotated[Path, typer.Argument(help="A file with the record's exact bytes.")],
    key: Annotated[str, typer.Option(help="The log's verifier key, or a file that holds it.")],
) -> None:
    """Check that a record stands in the log, from its proof alone."""
    try:
        text, entry, vkey = read_text(proof), record.read_bytes(), read_key(key)
    except (VerifyError, OSError) as error:
        fail(str(error), as_json=False)
    try:
        checkpoint = verify_proof(text, entry, vkey)
    except ProofError as error:
        print(f"NOT PROVEN: {error}")
        raise typer.Exit(EXIT_FAILED) from error
    index = parse_proof(text).index
    print(f"PROVEN: record {index} stands in {checkpoint.origin}, which signed for {checkpoint.size} records.")
