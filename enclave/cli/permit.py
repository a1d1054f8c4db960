"""``enclave permit``: look at a data permit file before anybody applies with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclave.extracts.permit_file import PermitError, read_permit

app = typer.Typer(help="Data permits.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``permit`` a group even with one command."""


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A data permit, YAML.")]) -> None:
    """Validate a data permit; every problem is named with its line."""
    try:
        permit = read_permit(file)
    except PermitError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from error
    columns = sum(len(table.columns) for table in permit.tables)
    print(f"{file}: valid. Project {permit.project}, {len(permit.tables)} tables, {columns} columns,")
    print(f"people {', '.join(permit.researchers)}, until {permit.expires_on}, sha256 {permit.sha256}")
    if permit.rules:
        narrowed = sorted({person for rule in permit.rules for person in rule.people})
        print(f"rules that narrow: {len(permit.rules)}, for {', '.join(narrowed)}")
