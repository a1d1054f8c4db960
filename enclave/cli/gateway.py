"""``enclave gateway``: a query gateway of its own beside ``enclave serve``, on this machine or another."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from enclave.before_start import warn_of_unknown_variables
from enclave.logs import configure

app = typer.Typer(help="The query gateway.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``gateway`` a group even with one command."""


@app.command()
def serve(
    replica: Annotated[str, typer.Option(help="This replica's name, its own on the whole ENCLAVE_HOME.")],
    tcp: Annotated[str, typer.Option(help="host:port to listen on instead of the setting gateway_tcp.")] = "",
) -> None:
    """Run a replica of the gateway over the ENCLAVE_HOME of a running enclave, until SIGTERM or Ctrl-C."""
    from enclave.gateway.front import main  # the other commands need not load the gateway

    configure(f"gateway-{replica}")
    warn_of_unknown_variables()
    code = main(["--replica", replica, *(["--tcp", tcp] if tcp else [])])
    sys.stderr.flush()
    os._exit(code)  # gRPC's own threads must not run on into the interpreter's end
