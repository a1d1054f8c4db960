"""``enclave demo``: the whole enclave on loopback with a sample hospital, and the journey through it.

Exit codes: 0 done, 1 a step failed (the message says which), 2 wrong usage.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclave.demo import DemoError, run_demo, stop_demo
from enclave.demo.options import DemoOptions
from enclave.settings import REPOSITORY

_DEFAULT_PERMIT = REPOSITORY / "examples" / "permits" / "gibleed.yaml"


def demo(
    journey: Annotated[bool, typer.Option("--journey", help="Do the main job without a person, then stop.")] = False,
    source: Annotated[str, typer.Option(help="A folder of CSV or Parquet, a DuckDB file or a PostgreSQL URL.")] = "",
    permit: Annotated[Path | None, typer.Option(help="The data permit; default: the sample hospital's.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the enclave running after the journey.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one machine-readable line.")] = False,
    seed: Annotated[bool, typer.Option("--seed", help="Fill the demo with a project in every state.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End a running demo.")] = False,
) -> None:
    """Start the enclave with a sample hospital and print the addresses; --journey goes through it by itself."""
    if source and permit is None:
        raise typer.BadParameter("a --source needs the --permit that names its tables; see examples/permits/")
    try:
        if stop:
            stop_demo()
            return
        chosen = permit or _DEFAULT_PERMIT
        run_demo(DemoOptions(journey=journey, source=source, permit=chosen, keep=keep, as_json=as_json, seed=seed))
    except DemoError as error:
        print(f"Failed: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error
