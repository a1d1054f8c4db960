"""``enclave dataset``: what the data producer offers, registered from the machine and recorded.

The source stays where it is; projects get extracts of it. Its address and the opt-outs are kept on the producer's side.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclave.cli.running import set_up_portal

app = typer.Typer(help="Data sets of the producer.", no_args_is_help=True)


@app.command()
def register(
    name: Annotated[str, typer.Argument(help="Name that data permits use: lower-case letters, digits, hyphens.")],
    version: Annotated[str, typer.Argument(help="Its version; a permit holds for exactly one.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A DuckDB file, a folder of CSV or Parquet files, or a postgresql:// address. "
            "'-' reads it from standard input, so that a password in it is in no list of processes."
        ),
    ],
    title: Annotated[str, typer.Option(help="What it is, for the catalogue.")],
    opt_outs: Annotated[
        Path | None, typer.Option(help="CSV with a header and one column: ids of people who opted out.")
    ] = None,
) -> None:
    """Look into the source, then register it under NAME and VERSION in the catalogue (recorded)."""
    set_up_portal()
    from enclave.portal.provision_datasets import register_source

    place = sys.stdin.readline().strip() if source == "-" else source
    found = register_source(name, version, place, title, opt_outs)
    print(
        f"{name} {version}: {found.kind}, {len(found.tables)} tables: {', '.join(table.name for table in found.tables)}"
    )
    if found.opt_outs is None:
        print("No opt-outs: extracts will hold everybody. Register again with --opt-outs if people can say no.")
    else:
        print(f"Opt-outs: {found.opt_outs}; read again for each extract.")


@app.command(name="list")
def list_all() -> None:
    """The catalogue: name, version, kind and title of each data set."""
    set_up_portal()
    from enclave.portal.models import Dataset

    for row in Dataset.objects.all():
        print(f"{row.name}\t{row.version}\t{row.source_kind}\t{row.description}")
