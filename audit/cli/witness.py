"""``enclave-audit witness``: run a witness for another organisation's log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from audit.cli.options import EXIT_UNREADABLE, read_key
from audit.note import NoteError, VerifierKey
from audit.verify import VerifyError
from audit.witness.state import KEY_KINDS, WitnessRefused, create_keys

State = Annotated[Path, typer.Option(help="The witness's private directory: keys, newest checkpoints, evidence.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Run a witness (c2sp.org/tlog-witness) for a log of another organisation.")
    group.command()(init)
    group.command()(run)
    app.add_typer(group, name="witness", no_args_is_help=True)


def init(
    name: Annotated[str, typer.Option(help="The witness's name, such as witness.example.org/w1 (no scheme).")],
    state: State,
) -> None:
    """Make the witness's two keys (once) and print their verifier keys for the policies of others."""
    try:
        cosigners = create_keys(state, name)
    except (WitnessRefused, OSError) as error:
        _fail(str(error))
    for cosigner in cosigners:
        print(cosigner.key)


def run(
    state: State,
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on (plain HTTP; put a TLS proxy in front).")],
    log: Annotated[
        list[str] | None, typer.Option(help="Verifier key of a log to witness, or a file that holds it; repeatable.")
    ] = None,
    key: Annotated[list[str] | None, typer.Option(help="Cosign with this kind only: ed25519 or ml-dsa-44.")] = None,
) -> None:
    """Cosign the checkpoints of the logs given, until SIGTERM."""
    from audit.witness.server import run as serve

    kinds = tuple(kind for kind in KEY_KINDS if key is None or kind in key)
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        _fail("Expected --listen HOST:PORT, such as 127.0.0.1:8600.")
    if not kinds or (key and not set(key) <= set(KEY_KINDS)):
        _fail(f"Expected --key to be one of {', '.join(KEY_KINDS)}.")
    try:
        logs = [VerifierKey.parse(read_key(given)) for given in log or ()]
        serve(state, (host.strip("[]"), int(port)), logs, kinds)
    except (WitnessRefused, NoteError, VerifyError, OSError) as error:
        _fail(str(error))


def _fail(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(EXIT_UNREADABLE)
